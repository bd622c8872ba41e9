"""What the cost of an event is made of: `python -m bench.breakdown [--rounds N]`.

Every row does what the row before it does and one thing more; what a thing takes is the difference. All rows run in
turn in every round, and the median of the rounds' differences is told. A profiler would tell more finely, and wrongly:
a call of a traced function costs more than most of what is measured here.
"""

from __future__ import annotations

import argparse
import gc
import json
import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import process_time

import msgspec

from bench import scenarios
from bench.measure import machine, progress
from bench.rulesets import Rules
from bench.scenarios import FALCO, SHIPPED, Scenario
from lanner.condition.ast import Compare, Exists, FieldRef, walk
from lanner.decode import usual_decoder
from lanner.engine.engine import Engine
from lanner.engine.loader import LoadResult
from lanner.event import event_type

_BODY_FIELD = re.compile(r"ka\.(req|resp)\.|jevt\.value|json\.value|jevt\.obj")
