import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { AnalyzerClient } from "@pulumi/pulumi/proto/analyzer_grpc_pb";
import type * as Proto from "@pulumi/pulumi/proto/analyzer_pb";
import type * as StructProto from "google-protobuf/google/protobuf/struct_pb";
import { parseDocument } from "yaml";
import { type Child, startServer } from "./child";
import type { ConfigMap } from "./config";
import type { Enforcement, PolicyEvent } from "./events";
import { type PolicySettings, readPolicyConfig, settlePolicies } from "./policy-config";
import { plainErrors } from "./program";
import { accept, forPolicies, type Properties, type Value } from "./property";
import { type AnalyzerProtocol, channelOptions, loadAnalyzerProtocol } from "./protocol";
import type { ResourceState } from "./state";
import { nameOf, type Urn } from "./urn";

/** Where a policy pack is, and the file of its configuration if it has one. */
export interface PolicyPackSource {
  /** The directory of PulumiPolicy.yaml. */
  directory: string;
  configFile?: string;
  /** The directory as the user wrote it. */
  location: string;
}

/** A resource as policies judge it. */
export interface Subject {
  state: ResourceState;
  deleteBeforeReplace: boolean | undefined;
  provider: ResourceState | undefined;
}

/** What a policy changed, or why it could not. */
export interface Remediation {
  policy: string;
  description: string;
  properties?: Properties;
  diagnostic?: string;
}

/** Of a violation all but the pack; without `urn` it concerns the stack. */
export type Violation = Omit<PolicyEvent, "type" | "pack" | "version" | "urn"> & { urn?: Urn };

/** By the numbers of Pulumi's protocol. */
const levels: Enforcement[] = ["advisory", "mandatory", "disabled", "remediate"];
const severities = [undefined, "low", "medium", "high", "critical"] as const;

/** Of a call, request and response. */
interface Calls {
  configureStack: [Proto.AnalyzerStackConfigureRequest, Proto.AnalyzerStackConfigureResponse];
  getPluginInfo: [object, object];
  getAnalyzerInfo: [object, Proto.AnalyzerInfo];
  configure: [Proto.ConfigureAnalyzerRequest, object];
  remediate: [Proto.AnalyzeRequest, Proto.RemediateResponse];
  analyze: [Proto.AnalyzeRequest, Proto.AnalyzeResponse];
  analyzeStack: [Proto.AnalyzeStackRequest, Proto.AnalyzeResponse];
}

/** A policy pack's process, and the calls it takes. */
export class PolicyPack {
  name = "";
  version = "";

  private constructor(
    readonly location: string,
    private readonly protocol: AnalyzerProtocol,
    private readonly client: AnalyzerClient,
    private readonly child: Child,
  ) {}

  /** Starts the pack with its own copy of @pulumi/pulumi and configures it. */
  static async start(options: {
    source: PolicyPackSource;
    project: string;
    stack: string;
    config: ConfigMap;
    dryRun: boolean;
    environment: NodeJS.ProcessEnv;
    engineAddress: string;
    onChild(child: Child): void;
    onLine(line: string): void;
  }): Promise<PolicyPack> {
    const { source, config } = options;
    const { directory, location, configFile } = source;
    readPolicyProject(directory);
    const given = configFile ? { file: configFile, settings: readPolicyConfig(configFile) } : undefined;
    const protocol = loadAnalyzerProtocol(directory);
    const { child, address } = startServer(
      `policy pack ${location}`,
      // Its `main` is for publishing a pack only: what runs is what package.json names.
      [plainErrors, protocol.runPath, options.engineAddress, directory],
      {
        directory,
        environment: {
          ...options.environment,
          PULUMI_NODEJS_TYPESCRIPT: "true",
          PULUMI_NODEJS_ORGANIZATION: "organization",
          PULUMI_NODEJS_PROJECT: options.project,
          PULUMI_NODEJS_STACK: options.stack,
          PULUMI_NODEJS_DRY_RUN: String(options.dryRun),
          PULUMI_CONFIG: JSON.stringify(valuesOf(config)),
        },
        onLine: options.onLine,
      },
    );
    options.onChild(child);
    const client = new protocol.analyzerService.AnalyzerClient(
      await address.catch((cause: Error) => {
        throw new Error(`${cause.message}; what it printed says why; it must make one PolicyPack`, { cause });
      }),
      protocol.grpc.credentials.createInsecure(),
      channelOptions,
    );
    const pack = new PolicyPack(location, protocol, client, child);
    await pack.configureStack(options);
    await pack.configure(given);
    return pack;
  }

  /** What its policies would have changed in the resource's inputs, one after the other. */
  async remediate(subject: Subject): Promise<Remediation[]> {
    const response = await this.call("remediate", this.request(subject, subject.state.inputs));
    return response.getRemediationsList().map(found => {
      const properties = found.getProperties()?.toJavaScript() as Properties | undefined;
      if (properties) accept(properties as Value, `reading what policy ${found.getPolicyname()} changed`);
      return {
        policy: found.getPolicyname(),
        description: found.getDescription(),
        ...(properties ? { properties } : {}),
        ...(found.getDiagnostic() ? { diagnostic: found.getDiagnostic() } : {}),
      };
    });
  }

  /** What its policies find wrong with the inputs of one resource. */
  async analyze(subject: Subject): Promise<Violation[]> {
    const request = this.request(subject, forPolicies(subject.state.inputs));
    return violationsOf(await this.call("analyze", request));
  }

  /** What its policies find wrong with all resources together, by their outputs. */
  async analyzeStack(subjects: Subject[]): Promise<Violation[]> {
    const { analyzer } = this.protocol;
    const request = new analyzer.AnalyzeStackRequest();
    for (const subject of subjects) {
      const { state } = subject;
      const resource = new analyzer.AnalyzerResource();
      this.describe(resource, subject, forPolicies(state.outputs ?? {}));
      resource.setParent(state.parent ?? "");
      resource.setDependenciesList(state.dependencies ?? []);
      const dependencies = resource.getPropertydependenciesMap();
      for (const [key, urns] of Object.entries(state.propertyDependencies ?? {})) {
        const list = new analyzer.AnalyzerPropertyDependencies();
        list.setUrnsList(urns);
        if (urns.length > 0) dependencies.set(key, list);
      }
      request.addResources(resource);
    }
    return violationsOf(await this.call("analyzeStack", request));
  }

  /** Ends the process. */
  async stop(): Promise<void> {
    this.client.close();
    this.child.kill("SIGKILL");
    await this.child.exited.catch(() => {});
  }

  private async configureStack(options: {
    project: string;
    stack: string;
    config: ConfigMap;
    dryRun: boolean;
  }) {
    const request = new this.protocol.analyzer.AnalyzerStackConfigureRequest();
    request.setStack(options.stack);
    request.setProject(options.project);
    request.setOrganization("organization");
    request.setDryRun(options.dryRun);
    const config = request.getConfigMap();
    for (const [key, value] of Object.entries(valuesOf(options.config))) config.set(key, value);
    request.setConfigSecretKeysList(Object.keys(options.config).filter(key => options.config[key]?.secret));
    await this.call("configureStack", request);
  }

  private async configure(given: { file: string; settings: PolicySettings } | undefined): Promise<void> {
    const { analyzer, empty, struct } = this.protocol;
    await this.call("getPluginInfo", new empty.Empty());
    const info = await this.call("getAnalyzerInfo", new empty.Empty());
    this.name = info.getName();
    this.version = info.getVersion();
    if (!info.getSupportsconfig()) {
      if (given)
        throw new Error(`configuring policy pack ${this.name} by ${given.file}: it takes no configuration`);
      return;
    }
    const policies = info.getPoliciesList().map(policy => {
      const schema = policy.getConfigschema();
      return {
        name: policy.getName(),
        enforcement: levels[policy.getEnforcementlevel()] ?? "advisory",
        schema: schema && {
          properties: (schema.getProperties()?.toJavaScript() ?? {}) as Properties,
          required: schema.getRequiredList(),
        },
      };
    });
    const initial: PolicySettings = {};
    for (const [policy, setting] of info.getInitialconfigMap().entries()) {
      const enforcement = levels[setting.getEnforcementlevel()];
      const properties = (setting.getProperties()?.toJavaScript() ?? {}) as Properties;
      initial[policy] = { properties, ...(enforcement ? { enforcement } : {}) };
    }
    const request = new analyzer.ConfigureAnalyzerRequest();
    const map = request.getPolicyconfigMap();
    for (const [policy, setting] of Object.entries(settlePolicies(this.name, policies, initial, given))) {
      const config = new analyzer.PolicyConfig();
      config.setEnforcementlevel(levels.indexOf(setting.enforcement));
      config.setProperties(struct.Struct.fromJavaScript(setting.properties));
      map.set(policy, config);
    }
    await this.call("configure", request);
  }

  private request(subject: Subject, properties: Properties): Proto.AnalyzeRequest {
    return this.describe(new this.protocol.analyzer.AnalyzeRequest(), subject, properties);
  }

  private describe<R extends Proto.AnalyzeRequest | Proto.AnalyzerResource>(
    target: R,
    { state, deleteBeforeReplace, provider }: Subject,
    properties: Properties,
  ): R {
    const { analyzer } = this.protocol;
    target.setType(state.type);
    target.setUrn(state.urn);
    target.setName(nameOf(state.urn));
    target.setProperties(this.struct(properties));
    const options = new analyzer.AnalyzerResourceOptions();
    options.setProtect(state.protect ?? false);
    options.setIgnorechangesList(state.ignoreChanges ?? []);
    options.setDeletebeforereplace(deleteBeforeReplace ?? false);
    options.setDeletebeforereplacedefined(deleteBeforeReplace !== undefined);
    options.setAdditionalsecretoutputsList(state.additionalSecretOutputs ?? []);
    options.setAliasesList(state.aliases ?? []);
    options.setParent(state.parent ?? "");
    const timeouts = new analyzer.AnalyzerResourceOptions.CustomTimeouts();
    timeouts.setCreate(state.customTimeouts?.create ?? 0);
    timeouts.setUpdate(state.customTimeouts?.update ?? 0);
    timeouts.setDelete(state.customTimeouts?.delete ?? 0);
    options.setCustomtimeouts(timeouts);
    target.setOptions(options);
    if (provider) {
      const resource = new analyzer.AnalyzerProviderResource();
      resource.setType(provider.type);
      resource.setUrn(provider.urn);
      resource.setName(nameOf(provider.urn));
      resource.setProperties(this.struct(provider.inputs));
      target.setProvider(resource);
    }
    return target;
  }

  private struct(properties: Properties): StructProto.Struct {
    return this.protocol.struct.Struct.fromJavaScript(properties);
  }

  private call<M extends keyof Calls>(method: M, request: Calls[M][0]): Promise<Calls[M][1]> {
    type Unary = (
      request: Calls[M][0],
      callback: (error: (Error & { code: number; details: string }) | null, response: Calls[M][1]) => void,
    ) => void;
    return new Promise((resolve, reject) => {
      (this.client[method] as unknown as Unary).call(this.client, request, (error, response) => {
        if (!error) resolve(response);
        else if (error.code === this.protocol.grpc.status.UNAVAILABLE && this.child.process.exitCode !== null)
          reject(new Error(`its process ended with exit code ${this.child.process.exitCode}`));
        else reject(new Error(error.details || error.message));
      });
    });
  }
}

/** Refuses a directory that holds no policy pack for node. */
function readPolicyProject(directory: string): void {
  const file = ["PulumiPolicy.yaml", "PulumiPolicy.yml"].map(name => join(directory, name)).find(existsSync);
  if (!file)
    throw new Error(
      `starting the policy pack: there is no PulumiPolicy.yaml in ${directory}; --policy-pack takes the directory that has it`,
    );
  const document = parseDocument(readFileSync(file, "utf8"));
  if (document.errors[0]) throw new Error(`reading ${file}: ${document.errors[0].message}`);
  const { runtime } = (document.toJS() ?? {}) as { runtime?: string | { name?: string } };
  const name = typeof runtime === "object" ? runtime.name : runtime;
  if (name !== "nodejs")
    throw new Error(
      `reading ${file}: runtime ${JSON.stringify(name)} is not supported by the embedded engine, only nodejs`,
    );
}

const valuesOf = (config: ConfigMap): Record<string, string> =>
  Object.fromEntries(Object.entries(config).map(([key, { value }]) => [key, value]));

const violationsOf = (response: Proto.AnalyzeResponse): Violation[] =>
  response.getDiagnosticsList().map(found => {
    const severity = severities[found.getSeverity()];
    return {
      policy: found.getPolicyname(),
      enforcement: levels[found.getEnforcementlevel()] ?? "advisory",
      message: found.getMessage(),
      ...(severity ? { severity } : {}),
      ...(found.getUrn() ? { urn: found.getUrn() } : {}),
    };
  });
