import type { ResourceProviderClient } from "@pulumi/pulumi/proto/provider_grpc_pb";
import type * as Proto from "@pulumi/pulumi/proto/provider_pb";
import { type Child, startServer } from "./child";
import { accept, annotateSecrets, forProvider, type Properties, type Value } from "./property";
import { channelOptions, type Protocol } from "./protocol";
import { nameOf, typeOf, type Urn } from "./urn";

/** A property that `check` refused. */
export interface CheckFailure {
  property: string;
  reason: string;
}

/** What `diff` said; `unknown` when the provider has no diff. */
export interface Diff {
  changes: "none" | "some" | "unknown";
  replaces: string[];
  deleteBeforeReplace: boolean;
}

/** The resource exists but is not in order: it belongs in the state together with the reasons. */
export class PartialFailure extends Error {
  constructor(
    message: string,
    readonly id: string,
    readonly properties: Properties,
    readonly reasons: string[],
  ) {
    super(message);
    this.name = "PartialFailure";
  }
}

/** What the engine asks of a stack's providers. */
export type Provider = Pick<ProviderHost, keyof ProviderHost>;

/** How a stack's providers are started. */
export type StartProvider = (options: Parameters<typeof ProviderHost.start>[0]) => Promise<Provider>;

/** Request and response of each call. */
interface Calls {
  configure: [Proto.ConfigureRequest, Proto.ConfigureResponse];
  check: [Proto.CheckRequest, Proto.CheckResponse];
  diff: [Proto.DiffRequest, Proto.DiffResponse];
  create: [Proto.CreateRequest, Proto.CreateResponse];
  read: [Proto.ReadRequest, Proto.ReadResponse];
  update: [Proto.UpdateRequest, Proto.UpdateResponse];
  delete: [Proto.DeleteRequest, object];
}

/** The process that runs the dynamic providers of a stack, and the calls it takes. */
export class ProviderHost {
  private constructor(
    private readonly protocol: Protocol,
    private readonly client: ResourceProviderClient,
    private readonly child: Child,
  ) {}

  /** Starts the process and hands it the stack's configuration, full keys, in the clear. */
  static async start(options: {
    protocol: Protocol;
    directory: string;
    project: string;
    environment: NodeJS.ProcessEnv;
    engineAddress: string;
    config: Properties;
    onLine(line: string, stream: "stdout" | "stderr"): void;
  }): Promise<ProviderHost> {
    const { protocol } = options;
    const { child, address } = startServer(
      "the dynamic provider",
      [protocol.dynamicProviderPath, options.engineAddress],
      {
        directory: options.directory,
        environment: {
          ...options.environment,
          PULUMI_NODEJS_PROJECT: options.project,
          PULUMI_PROJECT: options.project,
          // The configuration comes by configure; a variable of the caller's must not reach the provider.
          PULUMI_CONFIG: "{}",
        },
        onLine: options.onLine,
      },
    );
    const client = new protocol.providerService.ResourceProviderClient(
      await address,
      protocol.grpc.credentials.createInsecure(),
      channelOptions,
    );
    const host = new ProviderHost(protocol, client, child);
    const request = new protocol.provider.ConfigureRequest();
    const variables = request.getVariablesMap();
    for (const [key, value] of Object.entries(forProvider(options.config))) variables.set(key, String(value));
    request.setArgs(host.struct(options.config));
    request.setAcceptsecrets(true);
    request.setAcceptresources(true);
    await host.call("configure", request);
    return host;
  }

  /** The checked inputs, which replace the program's; secrets stay secret under their names. */
  async check(
    urn: Urn,
    olds: Properties,
    news: Properties,
  ): Promise<{ inputs: Properties; failures: CheckFailure[] }> {
    const request = new this.protocol.provider.CheckRequest();
    request.setUrn(urn);
    request.setName(nameOf(urn));
    request.setType(typeOf(urn));
    request.setOlds(this.struct(olds));
    request.setNews(this.struct(news));
    const response = await this.call("check", request);
    const inputs = this.properties(response.getInputs(), urn);
    annotateSecrets(inputs, news);
    const failures = response
      .getFailuresList()
      .map(failure => ({ property: failure.getProperty(), reason: failure.getReason() }));
    return { inputs, failures };
  }

  /** Compares the old outputs with the new inputs. */
  async diff(
    urn: Urn,
    id: string,
    old: { inputs: Properties; outputs: Properties },
    news: Properties,
    ignoreChanges: string[],
  ): Promise<Diff> {
    const request = new this.protocol.provider.DiffRequest();
    request.setId(id);
    request.setUrn(urn);
    request.setName(nameOf(urn));
    request.setType(typeOf(urn));
    request.setOldInputs(this.struct(old.inputs));
    request.setOlds(this.struct(old.outputs));
    request.setNews(this.struct(news));
    request.setIgnorechangesList(ignoreChanges);
    const response = await this.call("diff", request);
    const { DiffChanges } = this.protocol.provider.DiffResponse;
    const changes = response.getChanges();
    return {
      changes:
        changes === DiffChanges.DIFF_NONE ? "none" : changes === DiffChanges.DIFF_SOME ? "some" : "unknown",
      replaces: response.getReplacesList(),
      deleteBeforeReplace: response.getDeletebeforereplace(),
    };
  }

  /** Creates the resource. Throws PartialFailure when it exists but is not in order. */
  async create(
    urn: Urn,
    inputs: Properties,
    timeoutSeconds: number,
  ): Promise<{ id: string; outputs: Properties }> {
    const request = new this.protocol.provider.CreateRequest();
    request.setUrn(urn);
    request.setName(nameOf(urn));
    request.setType(typeOf(urn));
    request.setProperties(this.struct(inputs));
    request.setTimeout(timeoutSeconds);
    const response = await this.call("create", request, inputs);
    const id = response.getId();
    if (!id) throw new Error("the provider did not return an id from create");
    const outputs = this.properties(response.getProperties(), urn);
    annotateSecrets(outputs, inputs);
    return { id, outputs };
  }

  /** Updates the resource; throws PartialFailure as `create` does. */
  async update(
    urn: Urn,
    id: string,
    old: { inputs: Properties; outputs: Properties },
    news: Properties,
    timeoutSeconds: number,
    ignoreChanges: string[],
  ): Promise<Properties> {
    const request = new this.protocol.provider.UpdateRequest();
    request.setId(id);
    request.setUrn(urn);
    request.setName(nameOf(urn));
    request.setType(typeOf(urn));
    request.setOldInputs(this.struct(old.inputs));
    request.setOlds(this.struct(old.outputs));
    request.setNews(this.struct(news));
    request.setTimeout(timeoutSeconds);
    request.setIgnorechangesList(ignoreChanges);
    const response = await this.call("update", request, news);
    const outputs = this.properties(response.getProperties(), urn);
    annotateSecrets(outputs, news);
    return outputs;
  }

  /** Reads the resource; undefined when it is gone. */
  async read(
    urn: Urn,
    id: string,
    inputs: Properties,
    outputs: Properties,
    timeoutSeconds: number,
  ): Promise<{ id: string; inputs?: Properties; outputs: Properties } | undefined> {
    const request = new this.protocol.provider.ReadRequest();
    request.setId(id);
    request.setUrn(urn);
    request.setName(nameOf(urn));
    request.setType(typeOf(urn));
    request.setInputs(this.struct(inputs));
    request.setProperties(this.struct(outputs));
    request.setTimeout?.(timeoutSeconds);
    const response = await this.call("read", request);
    const newId = response.getId();
    if (!newId) return undefined;
    const newOutputs = this.properties(response.getProperties(), urn);
    annotateSecrets(newOutputs, outputs);
    if (!response.hasInputs()) return { id: newId, outputs: newOutputs };
    const newInputs = this.properties(response.getInputs(), urn);
    annotateSecrets(newInputs, inputs);
    return { id: newId, inputs: newInputs, outputs: newOutputs };
  }

  /** Deletes the resource. */
  async delete(
    urn: Urn,
    id: string,
    inputs: Properties,
    outputs: Properties,
    timeoutSeconds: number,
  ): Promise<void> {
    const request = new this.protocol.provider.DeleteRequest();
    request.setId(id);
    request.setUrn(urn);
    request.setName(nameOf(urn));
    request.setType(typeOf(urn));
    request.setOldInputs?.(this.struct(inputs));
    request.setProperties(this.struct(outputs));
    request.setTimeout(timeoutSeconds);
    await this.call("delete", request);
  }

  /** Ends the process. */
  async stop(): Promise<void> {
    this.client.close();
    this.child.kill("SIGKILL");
    await this.child.exited.catch(() => {});
  }

  private struct(properties: Properties) {
    return this.protocol.struct.Struct.fromJavaScript(forProvider(properties));
  }

  private properties(struct: { toJavaScript(): object } | undefined, urn: Urn): Properties {
    const properties = (struct?.toJavaScript() ?? {}) as Properties;
    accept(properties as Value, `reading what the provider of ${nameOf(urn)} returned`);
    return properties;
  }

  private call<M extends keyof Calls>(
    method: M,
    request: Calls[M][0],
    secretsOf?: Properties,
  ): Promise<Calls[M][1]> {
    type Unary = (
      request: Calls[M][0],
      callback: (error: ServiceFailure | null, response: Calls[M][1]) => void,
    ) => void;
    return new Promise((resolve, reject) => {
      (this.client[method] as unknown as Unary).call(this.client, request, (error, response) => {
        if (!error) resolve(response);
        else void this.ended(error).then(() => reject(this.failure(error, secretsOf)));
      });
    });
  }

  /** A broken connection is heard of before the end of the process that broke it. */
  private async ended(error: ServiceFailure): Promise<void> {
    if (error.code !== this.protocol.grpc.status.UNAVAILABLE) return;
    await Promise.race([this.child.exited, new Promise(resolve => setTimeout(resolve, 1000).unref())]);
  }

  private failure(error: ServiceFailure, secretsOf: Properties | undefined): Error {
    const { protocol } = this;
    const { exitCode, signalCode } = this.child.process;
    if (error.code === protocol.grpc.status.UNAVAILABLE && (exitCode !== null || signalCode !== null)) {
      const how = signalCode === null ? `ended with exit code ${exitCode}` : `was ended by ${signalCode}`;
      return new Error(`the dynamic provider process ${how}`);
    }
    const message = error.details || error.message;
    for (const details of error.metadata?.get("grpc-status-details-bin") ?? []) {
      const status = protocol.status.Status.deserializeBinary(details as Buffer);
      for (const detail of status.getDetailsList()) {
        if (!detail.getTypeUrl().endsWith("pulumirpc.ErrorResourceInitFailed")) continue;
        const failed = protocol.provider.ErrorResourceInitFailed.deserializeBinary(detail.getValue_asU8());
        const properties = (failed.getProperties()?.toJavaScript() ?? {}) as Properties;
        if (secretsOf) annotateSecrets(properties, secretsOf);
        return new PartialFailure(message, failed.getId(), properties, failed.getReasonsList());
      }
    }
    return new Error(message);
  }
}

type ServiceFailure = Error & {
  code: number;
  details: string;
  metadata?: { get(key: string): (string | Buffer)[] };
};
