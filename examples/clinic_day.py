"""One synthetic day of a clinic, as events: the same seed gives the same bytes on every machine.

    python -m examples.clinic_day > day.ndjson            # what is about patients, one a line
    python -m examples.clinic_day --operations > ops.ndjson

Nobody in it exists. What is about patients (FHIR-shaped resources) is PHI; the counts of free
slots, waiting people and occupied beds are not, and go to a stream of their own.
"""

import signal
import sys
from base64 import b64encode
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any, NamedTuple, TypeVar

import msgspec

Resource = dict[str, Any]
T = TypeVar("T")

SEED = 20_260_302
EVENTS = 20_000
OPENS = datetime(2026, 3, 2, 7, 0, tzinfo=UTC)
HOURS = 12
MINUTE = 60_000_000_000
"""Times of events are nanoseconds since 1970, as the database counts them."""

FAMILY = [
    "Abbott",
    "Banerjee",
    "Castillo",
    "Dawson",
    "Eriksen",
    "Fuchs",
    "Grant",
    "Haddad",
    "Ito",
    "Jensen",
    "Kaya",
    "Lindqvist",
]
GIVEN = [
    "Amara",
    "Ben",
    "Chidi",
    "Dora",
    "Emil",
    "Farah",
    "Gita",
    "Hugo",
    "Ines",
    "Jun",
    "Kofi",
    "Lena",
    "Mateo",
    "Nora",
    "Omar",
    "Petra",
]
STREETS = ["Acacia", "Beech", "Cedar", "Dogwood", "Elm", "Fern", "Gum", "Hazel", "Iris", "Juniper"]
REASONS = (
    ("25064002", "Headache"),
    ("49727002", "Cough"),
    ("161891005", "Backache"),
    ("386661006", "Fever"),
    ("73211009", "Diabetes review"),
    ("38341003", "Blood pressure review"),
)
# LOINC code, name, unit, mean, spread and digits of what is measured during a visit.
MEASURES = (
    ("8867-4", "Heart rate", "/min", 74.0, 11.0, 0),
    ("8480-6", "Systolic blood pressure", "mm[Hg]", 124.0, 14.0, 0),
    ("8462-4", "Diastolic blood pressure", "mm[Hg]", 78.0, 9.0, 0),
    ("8310-5", "Body temperature", "Cel", 36.8, 0.5, 1),
    ("9279-1", "Respiratory rate", "/min", 15.0, 2.0, 0),
    ("2708-6", "Oxygen saturation", "%", 97.0, 1.2, 0),
    ("29463-7", "Body weight", "kg", 74.0, 15.0, 1),
    ("2339-0", "Glucose", "mg/dL", 98.0, 21.0, 0),
    ("72514-3", "Pain severity", "{score}", 3.0, 1.5, 0),
)
FINDINGS = (
    "Slept badly for three nights.",
    "No fever at home.",
    "Chest clear on both sides.",
    "Abdomen soft, no tenderness.",
    "Takes the medication as agreed.",
    "Gait and reflexes unremarkable.",
    "Asks about physiotherapy.",
)
PLANS = ("Review in two weeks.", "Bloods ordered.", "Referred to imaging.", "Rest and fluids.")
DEPARTMENTS = ("general", "paediatrics", "imaging", "urgent", "day-surgery")
SLOTS = 48
BEDS = 12


class ClinicEvent(NamedTuple):
    """One event of the day. `phi` decides which stream it belongs to."""

    at: int
    type: str
    payload: bytes
    phi: bool


def clinic_day(seed: int = SEED, events: int = EVENTS) -> list[ClinicEvent]:
    """Return exactly `events` events in the order in which they happened."""
    rng = Random(seed)
    start = int(OPENS.timestamp()) * 1_000_000_000
    day: list[ClinicEvent] = []
    counters = max(1, events // (len(DEPARTMENTS) * 12))
    for step in range(counters):
        at = start + step * HOURS * 60 * MINUTE // counters
        day += count_departments(rng, at)
    number = 0
    while len(day) < events:
        number += 1
        day += visit(rng, number, start)
    # Sorting first would cut off the evening; the last visit is the one that is left incomplete.
    del day[events:]
    day.sort(key=lambda event: event.at)
    return day


def visit(rng: Random, number: int, start: int) -> Iterator[ClinicEvent]:
    """Everything one patient's visit leaves behind, in order."""
    patient, encounter = identifier(rng), identifier(rng)
    at = start + int(rng.random() * (HOURS - 1) * 60) * MINUTE + number
    yield event(at, "PatientRegistered", person(rng, patient, number))
    reason = pick(rng, REASONS)
    arrival = stamp(at)
    yield event(at + MINUTE, "EncounterStarted", meeting(patient, encounter, reason, arrival, None))
    for measure in MEASURES:
        at += MINUTE
        yield event(at, "ObservationRecorded", measured(rng, patient, encounter, measure, at))
    at += 5 * MINUTE
    yield event(at, "NoteCreated", note(rng, patient, encounter, reason, at))
    at += MINUTE
    finished = meeting(patient, encounter, reason, arrival, stamp(at))
    yield event(at, "EncounterFinished", finished)


def count_departments(rng: Random, at: int) -> Iterator[ClinicEvent]:
    """What the clinic knows about itself at one moment, without a word about any patient."""
    for department in DEPARTMENTS:
        count = {
            "resourceType": "DepartmentCount",
            "department": department,
            "at": stamp(at),
            "slots": {"total": SLOTS, "free": whole(rng, SLOTS)},
            "beds": {"total": BEDS, "occupied": whole(rng, BEDS)},
            "waiting": whole(rng, 20),
        }
        yield ClinicEvent(at, "DepartmentCounted", msgspec.json.encode(count), phi=False)


def event(at: int, kind: str, resource: Resource) -> ClinicEvent:
    """Wrap a resource that is about a patient."""
    return ClinicEvent(at, kind, msgspec.json.encode(resource), phi=True)


def person(rng: Random, patient: str, number: int) -> Resource:
    """A Patient."""
    born = date(1930, 1, 1) + timedelta(days=whole(rng, 33_000))
    return {
        "resourceType": "Patient",
        "id": patient,
        "identifier": [{"system": "urn:veritydb:example:mrn", "value": f"MRN{number:07}"}],
        "name": [{"use": "official", "family": pick(rng, FAMILY), "given": [pick(rng, GIVEN)]}],
        "gender": pick(rng, ("female", "male", "other", "unknown")),
        "birthDate": born.isoformat(),
        "address": [{"line": [f"{1 + whole(rng, 200)} {pick(rng, STREETS)} Street"]}],
    }


def meeting(
    patient: str, encounter: str, reason: tuple[str, str], began: str, ended: str | None
) -> Resource:
    """An Encounter that goes on, or one that has ended."""
    period = {"start": began} if ended is None else {"start": began, "end": ended}
    return {
        "resourceType": "Encounter",
        "id": encounter,
        "status": "in-progress" if ended is None else "finished",
        "class": {"code": "AMB"},
        "subject": {"reference": f"Patient/{patient}"},
        "reasonCode": [coding("http://snomed.info/sct", *reason)],
        "period": period,
    }


def measured(
    rng: Random,
    patient: str,
    encounter: str,
    measure: tuple[str, str, str, float, float, int],
    at: int,
) -> Resource:
    """An Observation: one measurement."""
    code, name, unit, mean, spread, digits = measure
    # The sum of three dice is round enough, and adds up the same everywhere.
    value = mean + spread * (rng.random() + rng.random() + rng.random() - 1.5)
    return {
        "resourceType": "Observation",
        "id": identifier(rng),
        "status": "final",
        "code": coding("http://loinc.org", code, name),
        "subject": {"reference": f"Patient/{patient}"},
        "encounter": {"reference": f"Encounter/{encounter}"},
        "effectiveDateTime": stamp(at),
        "valueQuantity": {"value": round(value, digits or None), "unit": unit},
    }


def note(rng: Random, patient: str, encounter: str, reason: tuple[str, str], at: int) -> Resource:
    """A DocumentReference: what the clinician wrote."""
    text = " ".join([f"Seen for: {reason[1]}.", pick(rng, FINDINGS), pick(rng, FINDINGS)])
    text += f" {pick(rng, PLANS)}"
    return {
        "resourceType": "DocumentReference",
        "id": identifier(rng),
        "status": "current",
        "type": coding("http://loinc.org", "34109-9", "Note"),
        "subject": {"reference": f"Patient/{patient}"},
        "context": {"encounter": [{"reference": f"Encounter/{encounter}"}]},
        "date": stamp(at),
        "content": [
            {"attachment": {"contentType": "text/plain", "data": b64encode(text.encode()).decode()}}
        ],
    }


def coding(system: str, code: str, display: str) -> Resource:
    """A CodeableConcept of one code."""
    return {"coding": [{"system": system, "code": code, "display": display}], "text": display}


def stamp(at: int) -> str:
    """A time as FHIR writes it."""
    return datetime.fromtimestamp(at // 1_000_000_000, UTC).isoformat()


def identifier(rng: Random) -> str:
    """Something like a UUID."""
    digits = f"{rng.getrandbits(128):032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def pick(rng: Random, options: Sequence[T]) -> T:
    """One of them. Only `random()` is promised to stay the same in every version of Python."""
    return options[int(rng.random() * len(options))]


def whole(rng: Random, bound: int) -> int:
    """A whole number from 0 to `bound`."""
    return int(rng.random() * (bound + 1))


def main(arguments: Sequence[str]) -> None:
    """Print the day, or its operational part, as NDJSON."""
    # Ends quietly where the reader does, as in `| head`.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    phi = "--operations" not in arguments
    for happened in clinic_day():
        if happened.phi == phi:
            sys.stdout.buffer.write(happened.payload + b"\n")


if __name__ == "__main__":
    main(sys.argv[1:])
