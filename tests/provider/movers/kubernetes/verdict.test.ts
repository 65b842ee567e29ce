import assert from "node:assert/strict";
import type { V1Job, V1Pod } from "@kubernetes/client-node";
import { type Verdict, verdictOf } from "../../../../provider/movers/kubernetes/verdict";

/** As Kubernetes 1.36 recorded them, cut to what tells them apart. */
const pod = (status: object, metadata: object = {}): V1Pod =>
  ({
    metadata: { name: "p", ...metadata },
    spec: { nodeName: "n", containers: [{ name: "restic", resources: { limits: { memory: "20Mi" } } }] },
    status,
  }) as unknown as V1Pod;
const waiting = (reason: string, message?: string) =>
  pod({ phase: "Pending", containerStatuses: [{ state: { waiting: { reason, message } } }] });
const ended = (exitCode: number, more: object = {}, phase = "Failed", metadata: object = {}) =>
  pod(
    { phase, containerStatuses: [{ state: { terminated: { exitCode, reason: "Error", ...more } } }] },
    metadata,
  );
const job = (...conditions: object[]): V1Job =>
  ({ metadata: { name: "j" }, status: { conditions } }) as unknown as V1Job;
const condition = (type: string, reason: string, message: string) => ({
  type,
  reason,
  message,
  status: "True",
});
const backoff = condition(
  "FailureTarget",
  "BackoffLimitExceeded",
  "Job has reached the specified backoff limit",
);
const deadline = condition(
  "FailureTarget",
  "DeadlineExceeded",
  "Job was active longer than specified deadline",
);
const deleted = { deletionTimestamp: "2026-11-25T23:03:39Z" };
const eviction = {
  conditions: [
    {
      type: "DisruptionTarget",
      status: "True",
      reason: "EvictionByEvictionAPI",
      message: "Eviction API: evicting",
    },
  ],
};
const unschedulable = (message: string) =>
  pod({
    phase: "Pending",
    conditions: [{ type: "PodScheduled", status: "False", reason: "Unschedulable", message }],
  });

interface Case {
  what: string;
  pod?: V1Pod;
  job?: V1Job;
  podIsGone?: boolean;
  warnings?: { reason: string; message: string }[];
  is: Verdict["state"];
  says?: RegExp;
  patienceSeconds?: number;
  unreadable?: boolean;
}

const cases: Case[] = [
  { what: "no pod yet", is: "starting", says: /has no pod yet/ },
  {
    what: "suspended",
    job: job(condition("Suspended", "JobSuspended", "Job suspended")),
    is: "starting",
    says: /suspended/,
  },
  {
    what: "no node",
    pod: unschedulable("0/1 nodes are available"),
    is: "starting",
    says: /finds no node: 0\/1/,
  },
  {
    what: "image away",
    pod: waiting("ErrImagePull", "connection refused"),
    is: "starting",
    patienceSeconds: 60,
  },
  {
    what: "image still away",
    pod: waiting("ImagePullBackOff", "Back-off"),
    is: "starting",
    patienceSeconds: 60,
  },
  {
    what: "image's name",
    pod: waiting("InvalidImageName", "must be lowercase"),
    is: "starting",
    patienceSeconds: 0,
  },
  { what: "image never pulled", pod: waiting("ErrImageNeverPull", "x"), is: "starting", patienceSeconds: 0 },
  {
    what: "no Secret",
    pod: waiting("CreateContainerConfigError", 'secret "not-there" not found'),
    is: "starting",
    says: /secret "not-there" not found/,
    patienceSeconds: 60,
  },
  {
    what: "an unformatted disk",
    pod: waiting("ContainerCreating"),
    warnings: [
      {
        reason: "FailedMount",
        message:
          "rpc error: code = Internal desc = cannot mount unformatted disk /dev/x as we are manipulating it in read-only mode",
      },
    ],
    is: "starting",
    says: /cannot mount its volume/,
    patienceSeconds: 0,
    unreadable: true,
  },
  {
    what: "another file system",
    pod: waiting("ContainerCreating"),
    warnings: [
      { reason: "FailedMount", message: "mount failed: exit status 32 … wrong fs type, bad option" },
    ],
    is: "starting",
    patienceSeconds: 0,
    unreadable: true,
  },
  {
    what: "no attachment",
    pod: waiting("ContainerCreating"),
    warnings: [{ reason: "FailedAttachVolume", message: "rpc error: code = NotFound" }],
    is: "starting",
    says: /does not get its volume: rpc error: code = NotFound/,
  },
  {
    what: "a namespace that refuses root",
    warnings: [
      {
        reason: "FailedCreate",
        message: 'pods "j-x" is forbidden: violates PodSecurity "restricted:latest"',
      },
    ],
    is: "starting",
    says: /securityContext that the namespace allows/,
    patienceSeconds: 60,
  },
  {
    what: "running",
    pod: pod({ phase: "Running", containerStatuses: [{ state: { running: {} } }] }),
    is: "running",
  },
  { what: "its end", pod: ended(0, { reason: "Completed" }, "Running"), is: "ended" },
  { what: "restic's failure", pod: ended(1, { message: "Fatal: wrong password" }, "Running"), is: "ended" },
  { what: "a signal, before its reason", pod: ended(137, {}, "Running"), is: "running" },
  {
    what: "its memory",
    pod: ended(137, { reason: "OOMKilled" }),
    is: "failed",
    says: /out of memory \(limit 20Mi\)/,
  },
  {
    what: "no such command",
    pod: ended(128, { reason: "StartError", message: "no such file" }),
    is: "failed",
    says: /no such file/,
  },
  {
    what: "the node's disk",
    pod: pod({
      phase: "Failed",
      reason: "Evicted",
      message: "Pod ephemeral local storage usage exceeds the total limit of containers 10Mi. ",
      containerStatuses: [{ state: { terminated: { exitCode: 137, reason: "Error" } } }],
    }),
    is: "failed",
    says: /was evicted: Pod ephemeral local storage usage exceeds/,
  },
  {
    what: "its deadline",
    pod: pod({
      phase: "Failed",
      reason: "DeadlineExceeded",
      containerStatuses: [{ state: { terminated: { exitCode: 3 } } }],
    }),
    is: "failed",
    says: /not done within its deadline/,
  },
  {
    what: "an eviction, gone",
    pod: pod({ phase: "Running", ...eviction }, deleted),
    podIsGone: true,
    is: "failed",
    says: /ended by the cluster: Eviction API/,
  },
  {
    what: "an eviction, going",
    pod: pod({ phase: "Running", containerStatuses: [{ state: { running: {} } }], ...eviction }, deleted),
    is: "running",
  },
  {
    what: "a deleted pod",
    pod: ended(130, {}, "Running", deleted),
    is: "failed",
    says: /was deleted before its end/,
  },
  {
    what: "a given up Job without a pod",
    job: job(deadline),
    is: "failed",
    says: /DeadlineExceeded: Job was active/,
  },
  {
    what: "a given up Job whose pod has not ended",
    job: job(backoff),
    pod: pod({ phase: "Running" }),
    is: "failed",
    says: /its node may be lost/,
  },
];

describe("what is seen of a Job", () => {
  for (const { what, is, says, patienceSeconds, unreadable, ...seen } of cases)
    it(`tells: ${what}`, () => {
      const verdict = verdictOf({ job: undefined, pod: undefined, podIsGone: false, warnings: [], ...seen });
      assert.equal(verdict.state, is);
      if (says) assert.match("why" in verdict ? verdict.why : "", says);
      if (verdict.state === "starting") {
        assert.equal(verdict.patienceSeconds, patienceSeconds);
        assert.equal(verdict.unreadable, unreadable);
      }
    });
});
