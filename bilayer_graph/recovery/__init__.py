"""The steps from what a user gives to recovered people; the predictor strings them together."""
