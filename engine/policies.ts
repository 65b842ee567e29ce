import type { Child } from "./child";
import type { PolicyEvent } from "./events";
import { PolicyPack, type PolicyPackSource, type Subject, type Violation } from "./policy-pack";
import { annotateSecrets, changedKeys } from "./property";
import { STACK_TYPE, type Urn } from "./urn";

/** The policy packs of one run. */
export class Policies {
  private readonly packs: PolicyPack[] = [];
  private readonly children: Child[] = [];
  private readonly judged = new Map<Urn, Subject>();
  private readonly broken = new Set<string>();

  constructor(private readonly emit: (event: PolicyEvent) => void) {}

  /** Starts the packs; one that cannot be started is an error. */
  async start(
    sources: PolicyPackSource[],
    options: Omit<Parameters<typeof PolicyPack.start>[0], "source" | "onChild">,
  ): Promise<PolicyPack[]> {
    const started = await Promise.allSettled(
      sources.map(source =>
        PolicyPack.start({ ...options, source, onChild: child => void this.children.push(child) }),
      ),
    );
    for (const one of started) if (one.status === "fulfilled") this.packs.push(one.value);
    const failed = started.find(one => one.status === "rejected");
    if (failed) throw failed.reason;
    return this.packs;
  }

  /** Names of the mandatory policies that were violated. */
  get violated(): string[] {
    return [...this.broken];
  }

  /** Lets the policies mend the resource's inputs, in place. */
  async remediate(subject: Subject, isTold = true): Promise<void> {
    const { state } = subject;
    for (const pack of this.packs) {
      for (const { policy, description, properties, diagnostic } of await pack.remediate(subject)) {
        const event = {
          type: "policy" as const,
          pack: pack.name,
          version: pack.version,
          policy,
          urn: state.urn,
        };
        if (diagnostic && isTold) this.emit({ ...event, enforcement: "advisory", message: diagnostic });
        if (!properties) continue;
        annotateSecrets(properties, state.inputs);
        const diff = Object.fromEntries(changedKeys(state.inputs, properties));
        state.inputs = properties;
        if (isTold) this.emit({ ...event, enforcement: "remediate", message: description, diff });
      }
    }
  }

  /** Whether no mandatory policy forbids the resource. */
  async allow(subject: Subject): Promise<boolean> {
    this.judged.set(subject.state.urn, subject);
    const found = await Promise.all(this.packs.map(pack => pack.analyze(subject)));
    return found.map((violations, index) => this.report(index, violations, subject.state.urn)).every(Boolean);
  }

  /** Whether no mandatory policy forbids the stack as it has become, or would become. */
  async allowStack(): Promise<boolean> {
    const subjects = [...this.judged.values()];
    const root = subjects.find(({ state }) => state.type === STACK_TYPE)?.state.urn ?? "";
    const found = await Promise.all(this.packs.map(pack => pack.analyzeStack(subjects)));
    return found.map((violations, index) => this.report(index, violations, root)).every(Boolean);
  }

  /** Ends the packs' processes, also those that are still starting. */
  async stop(): Promise<void> {
    for (const child of this.children) child.kill("SIGKILL");
    await Promise.all(this.packs.map(pack => pack.stop()));
  }

  private report(index: number, violations: Violation[], subject: Urn): boolean {
    const { name: pack, version } = this.packs[index] as PolicyPack;
    let isAllowed = true;
    for (const { urn = subject, ...violation } of violations) {
      if (violation.enforcement === "disabled") continue;
      // What could not be mended is forbidden.
      const enforcement = violation.enforcement === "advisory" ? "advisory" : "mandatory";
      this.emit({ type: "policy", pack, version, urn, ...violation, enforcement });
      if (enforcement === "advisory") continue;
      this.broken.add(violation.policy);
      isAllowed = false;
    }
    return isAllowed;
  }
}
