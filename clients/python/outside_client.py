#!/usr/bin/env python3
"""One withdrawal through Cashgate, played from outside with nothing but the protos and three certificates.

Three parts, each the example for one team:

    Atm       the machine: one bidirectional stream, commands and reports
    Phone     the app and its back end: register, scan, approve with the phone's key, watch, read the feed
    CoreBank  the bank: a server that the gateway calls to hold and to confirm the money

`main` at the end is the story. Every message is checked as it comes; the first one that is not as it should be ends the program with one line and
exit code 1. How to run it is in README.md.
"""

import argparse
import hashlib
import itertools
import queue
import sys
import tempfile
import threading
import time
import traceback
from concurrent import futures
from pathlib import Path

import base45
import grpc
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_tools import protoc

ATM_ID, INSTITUTION, ACCOUNT, DEVICE = "A1", "sakura", "acct-1", "phone-1"
CHANNEL = "branch"  # how the app was activated
AMOUNT, CURRENCY = 20_000, "JPY"
PATIENCE_S = 20


class Fault(Exception):
    """The gateway did something else than the protos say."""


def check(condition, what):
    if not condition:
        raise Fault(what)


def generate_stubs(proto_folder, out):
    """Compiles every proto into a temporary folder, from which they are imported under their package names."""
    protos = sorted(str(path) for path in proto_folder.rglob("*.proto"))
    include = Path(protoc.__file__).parent / "_proto"
    code = protoc.main(
        ["protoc", f"-I{proto_folder}", f"-I{include}", f"--python_out={out}", f"--grpc_python_out={out}", *protos]
    )
    check(code == 0, f"protoc ended with {code}")
    sys.path.insert(0, out)


def read_certificate(folder, whose):
    """The PEM files that `cashgate issue-cert` wrote: the CA, the private key, the certificate."""
    certificates = folder / "certs"
    return (
        (folder / "ca.pem").read_bytes(),
        (certificates / f"{whose}-key.pem").read_bytes(),
        (certificates / f"{whose}.pem").read_bytes(),
    )


def connect(folder, whose, port):
    """A channel with mutual TLS. Who we are is in our certificate, and in no message."""
    authority, key, certificate = read_certificate(folder, whose)
    credentials = grpc.ssl_channel_credentials(authority, key, certificate)
    return grpc.secure_channel(f"127.0.0.1:{port}", credentials)


def yen(amount):
    from cashgate.withdrawal.v1.withdrawal_pb2 import Money

    return Money(minor_units=amount, currency=CURRENCY)


def here():
    """Where machine and phone are, in units of 10^-7 degree."""
    from cashgate.withdrawal.v1.withdrawal_pb2 import Location

    return Location(latitude_e7=356_595_000, longitude_e7=1_397_005_000)


class Atm:
    """The machine. The gateway's messages arrive in a queue; ours leave through another."""

    def __init__(self, channel):
        from cashgate.atm.v1 import atm_pb2, atm_pb2_grpc

        self.messages = atm_pb2
        self.outgoing = queue.Queue()
        self.incoming = queue.Queue()
        self.commands_paid = {}  # a real machine keeps this on disk, and writes it before it moves a note
        stream = atm_pb2_grpc.AtmServiceStub(channel).Connect(iter(self.outgoing.get, None))
        threading.Thread(target=self._listen, args=(stream,), daemon=True).start()

    def _listen(self, stream):
        try:
            for message in stream:
                self.incoming.put(message)
            self.incoming.put(Fault("the gateway ended the ATM's stream"))
        except grpc.RpcError as error:
            self.incoming.put(Fault(f"the ATM's stream ended: {error.code().name} {error.details()}"))

    def send(self, **message):
        self.outgoing.put(self.messages.AtmMessage(**message))

    def expect(self, kind):
        """The next message, which must be of this kind. A fresh code may come at any time and only replaces the picture."""
        while True:
            try:
                message = self.incoming.get(timeout=PATIENCE_S)
            except queue.Empty:
                raise Fault(f"the ATM was told no {kind} within {PATIENCE_S} s") from None
            if isinstance(message, Fault):
                raise message
            came = message.WhichOneof("message")
            if came == kind:
                return getattr(message, kind)
            check(came == "show_qr", f"the ATM was told {came} instead of {kind}: {message}")

    def say_hello(self):
        """First message of a stream: who we are for a human, what we can pay out, and the reports that nobody has acknowledged yet."""
        notes = [(10_000, 200), (1_000, 200)]
        cassettes = [self.messages.Cassette(denomination=yen(value), count=count) for value, count in notes]
        hello = self.messages.Hello(
            name="Outside ATM",
            place="Somewhere else",
            cassettes=cassettes,
            notes_per_dispense_max=40,
            software="outside_client.py",
            location=here(),
        )
        self.send(hello=hello)
        welcome = self.expect("welcome")
        check(welcome.atm_id == ATM_ID, f"the certificate says {ATM_ID}, Welcome says {welcome.atm_id}")
        clock_difference_ms = abs(welcome.gateway_time_unix_ms - now_ms())
        check(clock_difference_ms < 60_000, f"Welcome's clock differs by {clock_difference_ms} ms")

    def show_code(self):
        """A customer touched "cardless cash"."""
        self.send(start_qr_session=self.messages.StartQrSession())
        shown = self.expect("show_qr")
        check(shown.qr_text.startswith("CG1:"), f"an unexpected code: {shown.qr_text}")
        check(shown.expires_at_unix_ms > now_ms(), "the code has expired before it was shown")
        return shown

    def pay_out(self, withdrawal_id):
        """Obeys Dispense, and reports with the counted notes until the gateway has it on disk."""
        from cashgate.withdrawal.v1 import withdrawal_pb2 as words

        command = self.expect("dispense")
        check(command.withdrawal_id == withdrawal_id, f"Dispense is for {command.withdrawal_id}, not {withdrawal_id}")
        check(command.amount == yen(AMOUNT), f"Dispense says {command.amount}")
        check(command.start_before_unix_ms > now_ms(), "Dispense came too late to begin")
        # The same command again must never be paid twice: it is answered with the recorded outcome.
        report = self.commands_paid.setdefault(
            command.withdrawal_id,
            words.OutcomeReport(
                withdrawal_id=command.withdrawal_id,
                outcome=words.OUTCOME_DISPENSED,
                presented=[words.NoteCount(denomination=yen(10_000), count=2)],
                evidence=words.EVIDENCE_SOURCE_LAST_COMMAND_RECORD,
                observed_at_unix_ms=now_ms(),
            ),
        )
        self.send(outcome=report)

    def hang_up(self):
        self.outgoing.put(None)


class Phone:
    """The app, with its key in the phone, and the bank's back end, which alone talks to the gateway."""

    def __init__(self, channel):
        from cashgate.customer.v1 import customer_pb2, customer_pb2_grpc

        self.messages = customer_pb2
        self.gateway = customer_pb2_grpc.CustomerServiceStub(channel)
        self.key = ec.generate_private_key(ec.SECP256R1())

    def register(self):
        public_key = self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        how = {"activation_channel": CHANNEL, "attestation": self.messages.ATTESTATION_PASSED}
        request = self.messages.RegisterDeviceRequest(
            device_id=DEVICE, public_key=public_key, bound_at_unix_ms=now_ms() - 100 * 3_600_000, **how
        )
        self.gateway.RegisterDevice(request, timeout=PATIENCE_S)
        # The same phone with the same key again changes nothing, so a back end may repeat it when in doubt.
        self.gateway.RegisterDevice(request, timeout=PATIENCE_S)

    def scan(self, qr_text):
        request = self.messages.ScanRequest(qr_text=qr_text, device_id=DEVICE, account_id=ACCOUNT)
        found = self.gateway.Scan(request, timeout=PATIENCE_S)
        # The app shows both, and the customer compares them with the machine.
        check((found.atm_id, found.atm_name) == (ATM_ID, "Outside ATM"), f"Scan names another machine: {found}")
        check(found.atm_place == "Somewhere else", f"Scan names another place: {found.atm_place}")
        check(not found.HasField("amount"), f"no amount was chosen at the ATM, and Scan says {found.amount}")
        check(found.amount_max.minor_units >= AMOUNT, f"only {found.amount_max} can be approved")
        denominations = [one.minor_units for one in found.denominations]
        check(denominations == [10_000, 1_000], f"denominations are {denominations}")
        check(found.approve_before_unix_ms > now_ms(), "the time to approve is over before it began")
        return found

    def approve(self, qr_text):
        """Signs exactly what the customer agreed to (dynamic linking), so that nobody can change it afterwards."""
        digest = hashlib.sha256(base45.b45decode(qr_text.removeprefix("CG1:"))).hexdigest()
        fields = ["cashgate-approval-v1", digest, INSTITUTION, ACCOUNT, str(AMOUNT), CURRENCY, DEVICE]
        signature = self.key.sign("\n".join(fields).encode(), ec.ECDSA(hashes.SHA256()))
        who = {"device_id": DEVICE, "account_id": ACCOUNT}
        # Where the phone is goes beside what is signed; only fraud rules see it.
        request = self.messages.ApproveRequest(
            qr_text=qr_text, amount=yen(AMOUNT), signature=signature, location=here(), **who
        )
        return self.gateway.Approve(request, timeout=PATIENCE_S)

    def refuse_forged(self, qr_text):
        """A code with one changed character is refused with a reason that a program can read."""
        changed = qr_text[:40] + ("0" if qr_text[40] != "0" else "1") + qr_text[41:]
        request = self.messages.ScanRequest(qr_text=changed, device_id=DEVICE, account_id=ACCOUNT)
        try:
            self.gateway.Scan(request, timeout=PATIENCE_S)
        except grpc.RpcError as error:
            check(error.code() == grpc.StatusCode.INVALID_ARGUMENT, f"a changed code is {error.code().name}")
            # google.rpc.ErrorInfo is a part of the status details; its reason is plain text inside.
            details = dict(error.trailing_metadata()).get("grpc-status-details-bin", b"")
            check(b"QR_TOKEN_INVALID" in details, f"a changed code has the details {details}")
        else:
            raise Fault("a changed code was accepted")

    def watch(self, withdrawal_id):
        """Every state to the end; the stream ends by itself."""
        request = self.messages.WatchRequest(withdrawal_id=withdrawal_id)
        return list(self.gateway.Watch(request, timeout=PATIENCE_S))


class CoreBank:
    """The bank. Every call is idempotent by withdrawal_id: asked again, it answers the same again."""

    def __init__(self, folder, port):
        from cashgate.corebank.v1 import corebank_pb2, corebank_pb2_grpc

        self.messages = corebank_pb2
        self.calls = []
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
        corebank_pb2_grpc.add_CoreBankingServiceServicer_to_server(self, self.server)
        authority, key, certificate = read_certificate(folder, f"corebank-{INSTITUTION}")
        credentials = grpc.ssl_server_credentials([(key, certificate)], authority, require_client_auth=True)
        check(self.server.add_secure_port(f"127.0.0.1:{port}", credentials) == port, f"port {port} is not free")
        self.server.start()

    def PlaceHold(self, request, context):
        self.calls.append(("PlaceHold", request))
        return self.messages.PlaceHoldResponse(granted=self.messages.HoldGranted(hold_reference="hold-1"))

    def ConfirmHold(self, request, context):
        self.calls.append(("ConfirmHold", request))
        return self.messages.ConfirmHoldResponse()

    def ReverseHold(self, request, context):
        self.calls.append(("ReverseHold", request))
        return self.messages.ReverseHoldResponse()

    def GetHold(self, request, context):
        context.abort(grpc.StatusCode.NOT_FOUND, "this bank keeps no books")

    def check_calls(self, withdrawal_id):
        names = [name for name, _ in self.calls]
        check(set(names) == {"PlaceHold", "ConfirmHold"}, f"core banking was asked {names}")
        for name, request in self.calls:
            check(request.withdrawal_id == withdrawal_id, f"{name} is for {request.withdrawal_id}")
            check(request.institution_id == INSTITUTION, f"{name} is for {request.institution_id}")
            check(request.amount == yen(AMOUNT), f"{name} is about {request.amount}")
        placed, confirmed = self.calls[0][1], self.calls[-1][1]
        parties = (placed.account_id, placed.atm_id, placed.device_id)
        check(parties == (ACCOUNT, ATM_ID, DEVICE), f"PlaceHold names {parties}")
        check(confirmed.hold_reference == "hold-1", f"ConfirmHold names the hold {confirmed.hold_reference}")


def check_states(updates, withdrawal_id):
    """What the app was told, from wherever it was when the watch began to the end."""
    from cashgate.withdrawal.v1.withdrawal_pb2 import WithdrawalState

    check(updates, "Watch told nothing")
    names = [WithdrawalState.Name(update.state).removeprefix("WITHDRAWAL_STATE_") for update in updates]
    way = ["HOLD_REQUESTED", "AWAITING_CODE", "HELD", "DISPENSE_COMMANDED", "CONFIRMING", "CONFIRMED"]
    check(names == sorted(set(names), key=way.index), f"Watch told {names}")
    check(names[-1] == "CONFIRMED", f"the withdrawal ended as {names[-1]}")
    check(updates[-1].dispensed == yen(AMOUNT), f"{updates[-1].dispensed} was dispensed")
    check(all(update.withdrawal_id == withdrawal_id for update in updates), "Watch told of another withdrawal")


def check_events(channel, withdrawal_id, with_code):
    """The durable feed: the new phone and every step in order, and the same again for whoever asks again."""
    from cashgate.events.v1 import events_pb2, events_pb2_grpc

    steps = ["approved", "hold_granted", "dispense_commanded", "outcome_reported", "hold_confirmed"]
    if with_code:
        steps.insert(2, "code_matched")
    stub = events_pb2_grpc.EventServiceStub(channel)

    def read(after, count):
        stream = stub.Subscribe(events_pb2.SubscribeRequest(after_sequence=after), timeout=PATIENCE_S)
        answers = list(itertools.islice(stream, count))
        stream.cancel()  # it would go on with what comes next
        return answers

    registered, *answers = read(0, 1 + len(steps))
    # The bank tells its customer on a contact that is older than the phone. (Registering again changed nothing, and is no notice.)
    phone = registered.notice.device_registered
    known = (phone.institution_id, phone.device_id, phone.activation_channel)
    check(known == (INSTITUTION, DEVICE, CHANNEL) and not phone.key_changed, f"the feed begins with {registered}")
    told = [(answer.event.step, answer.event.event) for answer in answers]
    check(told == list(enumerate(steps, start=1)), f"the steps are {told}")
    sequences = [answer.sequence for answer in (registered, *answers)]
    check(sequences == sorted(set(sequences)), f"the sequence is not ascending: {sequences}")
    whose = {(answer.event.withdrawal_id, answer.event.device_id) for answer in answers}
    check(whose == {(withdrawal_id, DEVICE)}, f"the events are of {whose}")
    check(answers[-1].event.dispensed == yen(AMOUNT), f"the last event says {answers[-1].event.dispensed}")
    resumed = [answer.sequence for answer in read(sequences[1], len(steps) - 1)]
    check(resumed == sequences[2:], f"asked again after {sequences[1]}, the feed gives {resumed}")


def now_ms():
    return time.time_ns() // 1_000_000


def withdraw(arguments):
    generate_stubs(arguments.proto, arguments.stubs)
    corebank = CoreBank(arguments.dir, arguments.corebank_port)
    atm = Atm(connect(arguments.dir, f"atm-{ATM_ID}", arguments.atm_port))
    backend = connect(arguments.dir, f"institution-{INSTITUTION}", arguments.api_port)
    phone = Phone(backend)

    atm.say_hello()
    phone.register()
    code = atm.show_code()
    phone.refuse_forged(code.qr_text)
    scan = phone.scan(code.qr_text)
    check(scan.qr_session_id == code.qr_session_id, "Scan and ShowQr name different QR sessions")
    claimed = atm.expect("qr_claimed")
    check(claimed.qr_session_id == code.qr_session_id, "QrClaimed names another QR session")

    approved = phone.approve(code.qr_text)
    withdrawal_id = approved.withdrawal_id
    if approved.confirm_code:
        asked = atm.expect("ask_confirm_code")
        check(asked.withdrawal_id == withdrawal_id, f"the code is asked for {asked.withdrawal_id}")
        atm.send(
            enter_confirm_code=atm.messages.EnterConfirmCode(
                withdrawal_id=withdrawal_id, code=approved.confirm_code
            )
        )
    atm.pay_out(withdrawal_id)
    recorded = atm.expect("outcome_recorded")
    check(recorded.withdrawal_id == withdrawal_id, f"OutcomeRecorded is for {recorded.withdrawal_id}")
    ended = atm.expect("qr_session_ended")
    check(ended.qr_session_id == code.qr_session_id, "QrSessionEnded names another QR session")
    check(ended.end == atm.messages.QR_SESSION_END_FINISHED, f"the QR session ended with {ended.end}")

    check_states(phone.watch(withdrawal_id), withdrawal_id)
    corebank.check_calls(withdrawal_id)
    check_events(backend, withdrawal_id, with_code=bool(approved.confirm_code))
    atm.hang_up()
    corebank.server.stop(grace=1)
    return withdrawal_id


def main():
    protos = Path(__file__).resolve().parents[2] / "proto"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dir", type=Path, required=True, help="the folder that `cashgate init` made")
    parser.add_argument("--atm-port", type=int, required=True)
    parser.add_argument("--api-port", type=int, required=True)
    parser.add_argument("--corebank-port", type=int, required=True, help="where the gateway looks for sakura's core banking")
    parser.add_argument("--proto", type=Path, default=protos, help="the folder of the protos")
    arguments = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="cashgate-stubs-") as arguments.stubs:
            withdrawal_id = withdraw(arguments)
    except Fault as fault:
        print(f"FAILED: {fault}", file=sys.stderr)
        return 1
    except grpc.RpcError as error:
        ours = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == __file__]
        print(f"FAILED: {error.code().name}: {error.details()}, in `{ours[-1].line}`", file=sys.stderr)
        return 1
    print(f"outside client: withdrawal {withdrawal_id} of {AMOUNT} {CURRENCY} is CONFIRMED, every message as the protos say")
    return 0


if __name__ == "__main__":
    sys.exit(main())
