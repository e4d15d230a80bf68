"""The same as `python -m benchmarks`, from any folder: `python benchmarks/run.py mlp --batch 64 512`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.__main__ import main

if __name__ == "__main__":
    raise SystemExit(main())
