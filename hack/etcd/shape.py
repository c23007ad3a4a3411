"""Compares two recordings by what a plan can see in them: codes, keys, texts, who leads and who is listed.

Member IDs become member names first, since they are new with every cluster. What counts up or measures (terms,
indexes, sizes) need only be there, and what etcd tells only some seconds after a start is left out.
"""

import re

COUNTED = {"raft_term", "revision", "raftTerm", "raftIndex", "raftAppliedIndex", "dbSize", "dbSizeInUse", "cluster_id"}
TOLD_LATER = {"storageVersion", "downgradeInfo"}


def differences(committed, fresh):
    """What differs, one line each; an empty list where nothing does."""
    if committed["server"] != fresh["server"]:
        return [f"server: {committed['server']} was recorded, this is {fresh['server']}"]
    old, new = named(committed), named(fresh)
    if len(old) != len(new):
        return [f"{len(old)} steps were recorded, there are {len(new)} now"]
    found = []
    for before, after in zip(old, new):
        compare(before, after, before["note"], found)
    return found


def named(recording):
    """The steps with every member ID replaced by the member's name and every loopback port left out."""
    members = recording["members"]
    by_hex = {f"{int(number):x}": name for number, name in members.items()}

    def rename(value):
        if isinstance(value, dict):
            return {key: "counted" if key in COUNTED else rename(inner)
                    for key, inner in value.items() if key not in TOLD_LATER}
        if isinstance(value, list):
            return sorted((rename(inner) for inner in value), key=repr)
        if not isinstance(value, str):
            return value
        if value in members:
            return members[value]
        text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", value)
        return re.sub(r"\b[0-9a-f]{12,16}\b", lambda match: by_hex.get(match[0], match[0]), text)

    return [rename(step) for step in recording["steps"]]


def compare(before, after, where, found):
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            if key not in before or key not in after:
                found.append(f"{where}: {key} is {'new' if key in after else 'gone'}")
            else:
                compare(before[key], after[key], f"{where}: {key}", found)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after)):
            compare(one, other, f"{where}[{index}]", found)
    elif before != after:
        found.append(f"{where}: was {before!r}, is {after!r}")
