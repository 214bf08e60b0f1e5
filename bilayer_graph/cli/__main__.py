"""``python -m bilayer_graph.cli``, the same as ``bilayer-graph``."""

import sys

from bilayer_graph.cli.main import main

sys.exit(main())
