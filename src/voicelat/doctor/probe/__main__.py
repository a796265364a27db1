"""``python -X importtime -m voicelat.doctor.probe PLAN``: the doctor starts it, nobody else."""

from __future__ import annotations

import sys

import msgspec

from voicelat.doctor.probe.child import Child
from voicelat.doctor.probe.seen import Plan
from voicelat.doctor.probe.serve import serve

if __name__ == "__main__":
    plan = msgspec.json.decode(sys.argv[1], type=Plan)
    sys.path.insert(0, plan.folder)
    child = Child(plan)
    child.watch.install()
    serve(child)
