"""
Writes when APScheduler fires for Snapmanager's schedules in one year, for tests/provider/operations/apscheduler.test.ts:

    python3 -m venv venv && venv/bin/pip install 'apscheduler==3.11.3'
    venv/bin/python scripts/apscheduler-oracle.py > tests/fixtures/apscheduler-2026.json

Each schedule has its fire times in UTC on the two days of clock change in Europe/Prague, and a digest of all others.
"""

import hashlib
import json
from datetime import datetime, timedelta, timezone
from importlib.metadata import version
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

ZONE = ZoneInfo("Europe/Prague")
YEAR = 2026
CHANGES = ("2026-03-29", "2026-10-25")
# what the script hands to APScheduler for each spec: days, hours, and the minute of the copy set's class
SCHEDULES = {
    "7@mon-fri@1,3,15,20": ("mon-fri", "1,3,15,20", "0"),
    "4@mon-sun@2": ("mon-sun", "2", "2"),
    "4@sun@2": ("sun", "2", "4"),
    "7@*@2": ("*", "2", "4"),
    "24@mon-sun@0-23": ("mon-sun", "0-23", "0"),
    "3@mon-fri@*/6": ("mon-fri", "*/6", "2"),
    "general": ("mon-fri", "6,11,15,19", "15"),
}


def fires(days, hours, minute):
    """Every fire time of the year, asked for as the scheduler does: the next one after now, a second later."""
    trigger = CronTrigger(day_of_week=days, hour=hours, minute=minute, timezone=ZONE)
    now = datetime(YEAR, 1, 1, tzinfo=ZONE) - timedelta(seconds=1)
    end = datetime(YEAR + 1, 1, 1, tzinfo=ZONE)
    previous = None
    while True:
        due = trigger.get_next_fire_time(previous, now)
        if due is None or due >= end:
            return
        yield due.astimezone(timezone.utc)
        previous = due
        now = (due.astimezone(timezone.utc) + timedelta(seconds=1)).astimezone(ZONE)


def entry(days, hours, minute):
    changes = {day: [] for day in CHANGES}
    others = []
    for due in fires(days, hours, minute):
        local = due.astimezone(ZONE).date().isoformat()
        (changes[local] if local in changes else others).append(due.strftime("%Y-%m-%dT%H:%MZ"))
    digest = hashlib.sha256("\n".join(others).encode()).hexdigest()
    return {"count": len(others), "sha256": digest, "changes": changes}


print(
    json.dumps(
        {
            "apscheduler": version("apscheduler"),
            "zone": str(ZONE),
            "year": YEAR,
            "schedules": {text: entry(*fields) for text, fields in SCHEDULES.items()},
        },
        indent=2,
    )
)
