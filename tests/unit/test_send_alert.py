"""send_alert: what real servers get of an incident, once, and what becomes of a channel that is dead."""

import json
import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from aiosmtpd.controller import Controller

from headway.components._shared.artifacts import LocalArtifact
from headway.components._shared.decisions import Decision, Incident, Signal
from headway.components._shared.errors import HeadwayError
from headway.components._shared.state import State, dump_json
from headway.components.alerting.config import Channels
from headway.components.alerting.send import send_alert, tell

CHAT = {"chat": {"url_env": "CHAT"}}
SECRET = "a-secret-token"


class Place:
    """A state folder, and a server that keeps what it got and answers with the given codes in turn."""

    def __init__(self, folder):
        self.folder, self.got, self.codes = folder, [], [200]

    def send(self, decision, channels=CHAT, **given):
        file = self.folder / "decision.json"
        file.write_bytes(dump_json(decision.model_dump(mode="json")))
        artifacts = [LocalArtifact(str(file)), LocalArtifact(str(self.folder / "told.json"))]
        send_alert(*artifacts, channels=channels, state_uri=str(self.folder / "state"), **given)
        return json.loads((self.folder / "told.json").read_text())["channels"]

    @property
    def titles(self):
        return [message["title"] for message in self.got]


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    made = Place(tmp_path)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            code = made.codes.pop(0) if len(made.codes) > 1 else made.codes[0]
            if code == 200:
                made.got.append(body)
            self.send_response(code)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("CHAT", f"json://127.0.0.1:{server.server_port}/{SECRET}")
        yield made
        server.shutdown()


def decision(number=1, outcome="alert", incident=None, **changes):
    told = {
        "model_name": "flights",
        "model_digest": "a" * 64,
        "start": f"2026-03-{number:02}T00:00:00Z",
        "end": f"2026-03-{number + 1:02}T00:00:00Z",
        "reason": "worse than promised: roc_auc 0.61, promised 0.68",
        "rule": "worse than promised",
        "signals": {
            "worse": Signal(fired=True, told="roc_auc 0.61, promised 0.68"),
            "data": Signal(fired=False, told="complete"),
        },
    }
    if incident:
        since, windows, worsened = incident
        told["incident"] = Incident(id=f"2026-03-{since:02}T00:00:00Z", windows=windows, worsened=worsened)
    return Decision(**{**told, "outcome": outcome, **changes})


def well(number, since):
    quiet = {"worse": Signal(fired=False, told="as promised")}
    over = f"2026-03-{since:02}T00:00:00Z"
    return decision(number, "ok", reason="no rule fired", rule=None, signals=quiet, recovered=over)


def test_people_are_told_when_an_incident_begins_worsens_and_is_over_and_not_in_between(place):
    told = [
        place.send(each)["chat"]["told"]
        for each in (
            decision(1, "watch"),
            decision(2, incident=(2, 1, True)),
            decision(3, incident=(2, 2, False)),
            decision(4, "retrain", incident=(2, 3, True)),
            decision(5, incident=(2, 4, False)),
            well(6, since=2),
            decision(7, "ok"),
        )
    ]
    assert told == [{}, {"flights": "begins"}, {}, {"flights": "worsens"}, {}, {"flights": "is over"}, {}]
    assert place.titles == [
        "Headway: flights, alert: worse than promised",
        "Headway: flights, retrain: worse than promised",
        "Headway: flights is well again",
    ]
    assert [message["type"] for message in place.got] == ["warning", "failure", "success"]


def test_the_text_says_what_since_when_how_bad_what_was_done_and_where_to_look(place):
    found = decision(4, "retrain", (2, 3, True), act_from="2026-03-09T08:00:00Z", label_cutoff="2026-03-07T00:00:00Z")
    place.send(found, report_url="https://kfp.example/runs/7")
    assert place.got[0]["message"].splitlines() == [
        "flights, retrain: worse than promised",
        "What: worse than promised: roc_auc 0.61, promised 0.68.",
        "Since: 2026-03-02T00:00:00Z, 3 windows.",
        "Signal: worse: roc_auc 0.61, promised 0.68",
        "Done: Retraining is asked for from 2026-03-09T08:00:00Z on.",
        "Window: 2026-03-04T00:00:00Z to 2026-03-05T00:00:00Z, labels known by 2026-03-07T00:00:00Z. "
        "Model aaaaaaaaaaaa.",
        "",
        "Where to look: https://kfp.example/runs/7",
    ]


def test_a_step_that_runs_again_tells_nobody_twice(place):
    for _ in range(3):
        place.send(decision(incident=(1, 1, True)))
    assert len(place.got) == 1
    held = decision(2, "alert", (1, 2, False), held_back="2 retrainings within 30d: no more are in the budget")
    place.send(held)
    assert len(place.got) == 1


def test_an_incident_that_worsens_reaches_those_who_asked_for_no_less(place, monkeypatch):
    monkeypatch.setenv("PAGER", f"{os.environ['CHAT']}/pager")
    channels = {**CHAT, "pager": {"url_env": "PAGER", "from_outcome": "roll_back", "recovery": False}}
    assert place.send(decision(1, incident=(1, 1, True)), channels)["pager"]["told"] == {}
    assert place.send(decision(2, "roll_back", (1, 2, True)), channels)["pager"]["told"] == {"flights": "begins"}
    over = place.send(well(3, since=1), channels)
    assert (over["pager"]["told"], over["chat"]["told"]) == ({}, {"flights": "is over"})


def test_who_was_not_told_of_an_incident_is_not_told_that_it_is_over(place):
    assert place.send(well(3, since=1))["chat"]["told"] == {}
    assert place.got == []


def test_a_dead_channel_is_loud_keeps_its_secret_and_is_told_by_the_next_run(place, caplog):
    place.codes = [500]
    told = place.send(decision(incident=(1, 1, True)), {"chat": {"url_env": "CHAT", "attempts": 2}})["chat"]
    assert (told["delivered"], told["attempts"]) == (False, 2)
    assert "500" in told["problem"]
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert any(line.startswith("The channel chat was not told: ") for line in errors)
    assert SECRET not in caplog.text + json.dumps(told)
    place.codes = [200]
    assert place.send(decision(2, incident=(1, 2, False)))["chat"]["told"] == {"flights": "begins"}
    assert len(place.got) == 1


def test_a_failure_that_passes_is_tried_again(place):
    place.codes = [503, 200]
    assert place.send(decision(incident=(1, 1, True)))["chat"]["attempts"] == 2


@pytest.mark.parametrize(
    ("address", "said"),
    [(None, "the environment variable CHAT is not set"), ("nothing://x", "not hold an address that Apprise knows")],
)
def test_a_channel_without_an_address_is_named(place, monkeypatch, address, said):
    monkeypatch.setenv("CHAT", address) if address else monkeypatch.delenv("CHAT")
    assert said in place.send(decision(incident=(1, 1, True)))["chat"]["problem"]


def test_a_mail_arrives_at_a_mail_server(place, monkeypatch):
    mails = []

    class Keeps:
        async def handle_DATA(self, server, session, envelope):  # noqa: N802
            mails.append((envelope.rcpt_tos, envelope.content.decode()))
            return "250 OK"

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Controller(Keeps(), hostname="127.0.0.1", port=port)
    server.start()
    address = f"mailto://127.0.0.1:{port}?smtp=127.0.0.1&mode=insecure&from=headway@example.com&to=team@example.com"
    monkeypatch.setenv("MAIL", address)
    told = place.send(decision(incident=(1, 1, True)), {"mail": {"url_env": "MAIL"}})["mail"]
    server.stop()
    assert told["delivered"], told
    ((recipients, content),) = mails
    assert recipients == ["team@example.com"]
    assert "Subject: Headway: flights, alert: worse than promised" in content


def test_one_message_tells_of_several_models(place):
    state = State(str(place.folder / "state"))
    several = [decision(incident=(1, 1, True), model_name=name) for name in ("flights", "hotels")]
    tell([*several, decision(model_name="trains", outcome="ok")], Channels.model_validate(CHAT), state, where=None)
    (message,) = place.got
    assert message["title"] == "Headway: 2 models, flights, hotels"
    assert message["message"].count("What: ") == 2
    again = tell(several, Channels.model_validate(CHAT), state, where=None)
    assert again["chat"]["told"] == {}


def test_what_is_no_decision_is_refused(place):
    file = place.folder / "other.json"
    file.write_text("{}")
    with pytest.raises(HeadwayError, match=r"input\.unreadable"):
        send_alert(LocalArtifact(str(file)), LocalArtifact(str(file)), channels=CHAT, state_uri=str(place.folder))
