"""What is read from a user's files: images and 2D keypoints."""
