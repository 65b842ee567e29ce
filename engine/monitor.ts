import type { Server, ServerUnaryCall, sendUnaryData } from "@grpc/grpc-js";
import type * as EngineProto from "@pulumi/pulumi/proto/engine_pb";
import type * as ResourceProto from "@pulumi/pulumi/proto/resource_pb";
import type { LogEvent, Severity } from "./events";
import { accept, type Properties, type Value } from "./property";
import { channelOptions, type Protocol } from "./protocol";
import { type CustomTimeouts, isDynamic } from "./state";
import { STACK_TYPE, type Urn } from "./urn";

/** Another name under which a resource may be in the state. */
export interface Alias {
  urn?: Urn;
  name?: string;
  type?: string;
  stack?: string;
  project?: string;
  parent?: Urn;
  noParent?: boolean;
}

/** What the program wants of one resource. */
export interface Goal {
  type: string;
  name: string;
  custom: boolean;
  inputs: Properties;
  parent?: Urn;
  protect?: boolean;
  retainOnDelete?: boolean;
  dependencies: Urn[];
  propertyDependencies: Record<string, Urn[]>;
  deleteBeforeReplace?: boolean;
  ignoreChanges: string[];
  replaceOnChanges: string[];
  additionalSecretOutputs: string[];
  aliases: Alias[];
  customTimeouts?: CustomTimeouts;
}

/** What a registration came to. */
export interface Registered {
  urn: Urn;
  id?: string;
  outputs: Properties;
  result: "success" | "failed" | "skipped";
}

/** What the monitor serves. A rejection with `Terminating` tells the program to end quietly. */
export interface Registrar {
  register(goal: Goal): Promise<Registered>;
  registerOutputs(urn: Urn, outputs: Properties): Promise<void>;
  log(event: LogEvent): void;
}

/** The run is over; the program is told so and ends without an error of its own. */
export class Terminating extends Error {
  constructor() {
    super("the run was stopped");
    this.name = "Terminating";
  }
}

/** The program asked for something this engine does not do. */
export class UnsupportedError extends Error {
  constructor(what: string) {
    super(`${what} is not supported by the embedded engine; use the pulumi CLI`);
    this.name = "UnsupportedError";
  }
}

const severities: Severity[] = ["debug", "info", "warning", "error"];

/** Features whose absence would make the SDK fail with advice that does not fit, or drop the option in silence. */
const features = new Set([
  "secrets",
  "resourceReferences",
  "aliasSpecs",
  "deletedWith",
  "replaceWith",
  "transforms",
  "invokeTransforms",
  "resourceHooks",
  "errorHooks",
]);

/** Serves Pulumi's ResourceMonitor and Engine on a free port of the loopback interface. */
export async function startMonitor(
  protocol: Protocol,
  registrar: Registrar,
): Promise<{ address: string; stop(): void }> {
  const { grpc } = protocol;
  const server: Server = new grpc.Server(channelOptions);
  const empty = () => new protocol.empty.Empty();
  let rootUrn = "";

  const unary =
    <Q, A>(answer: (request: Q) => Promise<A> | A) =>
    (call: ServerUnaryCall<Q, A>, callback: sendUnaryData<A>) => {
      Promise.resolve(call.request)
        .then(answer)
        .then(
          response => callback(null, response),
          (error: Error) => {
            const code = error instanceof Terminating ? grpc.status.UNAVAILABLE : grpc.status.UNKNOWN;
            callback({ code, details: error.message });
          },
        );
    };
  const refuse = <Q>(what: (request: Q) => string) =>
    unary((request: Q) => {
      const error = new UnsupportedError(what(request));
      // The SDK replaces some of these messages by advice that does not fit, so they are told here too.
      registrar.log({ type: "log", severity: "error", message: error.message });
      throw error;
    });

  server.addService(
    protocol.resourceService.ResourceMonitorService as never,
    {
      supportsFeature: unary((request: ResourceProto.SupportsFeatureRequest) => {
        const response = new protocol.resource.SupportsFeatureResponse();
        response.setHassupport(features.has(request.getId()));
        return response;
      }),
      registerResource: unary(async (request: ResourceProto.RegisterResourceRequest) => {
        const registered = await registrar.register(readGoal(protocol, request));
        const response = new protocol.resource.RegisterResourceResponse();
        response.setUrn(registered.urn);
        response.setId(registered.id ?? "");
        response.setObject(protocol.struct.Struct.fromJavaScript(registered.outputs));
        const { Result } = protocol.resource;
        if (registered.result === "failed") response.setResult(Result.FAIL);
        if (registered.result === "skipped") response.setResult(Result.SKIP);
        return response;
      }),
      registerResourceOutputs: unary(async (request: ResourceProto.RegisterResourceOutputsRequest) => {
        const outputs = (request.getOutputs()?.toJavaScript() ?? {}) as Properties;
        accept(outputs as Value, `registering the outputs of ${request.getUrn()}`);
        await registrar.registerOutputs(request.getUrn(), outputs);
        return empty();
      }),
      signalAndWaitForShutdown: unary(empty),
      invoke: refuse(
        (request: ResourceProto.ResourceInvokeRequest) => `the function ${request.getTok()} (invoke)`,
      ),
      streamInvoke: refuse(() => "a streaming function"),
      call: refuse((request: ResourceProto.ResourceCallRequest) => `the method ${request.getTok()} (call)`),
      readResource: refuse(
        (request: ResourceProto.ReadResourceRequest) =>
          `reading resource "${request.getName()}" with get or opts.id`,
      ),
      registerStackTransform: refuse(() => "a stack transform (registerStackTransform)"),
      registerStackInvokeTransform: refuse(() => "an invoke transform (registerStackInvokeTransform)"),
      registerResourceHook: refuse(() => "a resource hook (ResourceHook)"),
      registerErrorHook: refuse(() => "an error hook (ErrorHook)"),
      registerPackage: refuse(
        (request: ResourceProto.RegisterPackageRequest) => `the package ${request.getName()}`,
      ),
    } as never,
  );

  server.addService(
    protocol.engineService.EngineService as never,
    {
      log: unary((request: EngineProto.LogRequest) => {
        const urn = request.getUrn();
        registrar.log({
          type: "log",
          severity: severities[request.getSeverity()] ?? "info",
          message: request.getMessage(),
          ...(urn ? { urn } : {}),
          ...(request.getEphemeral() ? { ephemeral: true } : {}),
        });
        return empty();
      }),
      getRootResource: unary(() => {
        const response = new protocol.engine.GetRootResourceResponse();
        response.setUrn(rootUrn);
        return response;
      }),
      setRootResource: unary((request: EngineProto.SetRootResourceRequest) => {
        rootUrn = request.getUrn();
        return new protocol.engine.SetRootResourceResponse();
      }),
      startDebugging: unary(empty),
      requirePulumiVersion: refuse(() => "requirePulumiVersion"),
    } as never,
  );

  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  return { address: `127.0.0.1:${port}`, stop: () => server.forceShutdown() };
}

function readGoal(protocol: Protocol, request: ResourceProto.RegisterResourceRequest): Goal {
  const type = request.getType();
  const name = request.getName();
  const what = `resource "${name}" [${type}]`;
  refuseOptions(request, what);
  const inputs = (request.getObject()?.toJavaScript() ?? {}) as Properties;
  accept(inputs as Value, `registering ${what}`);

  const dependencies = request.getDependenciesList();
  const propertyDependencies: Record<string, Urn[]> = {};
  for (const [key, list] of request.getPropertydependenciesMap().entries()) {
    propertyDependencies[key] = list.getUrnsList();
  }
  for (const key of Object.keys(inputs)) {
    propertyDependencies[key] ??= Object.keys(propertyDependencies).length === 0 ? dependencies : [];
  }
  const customTimeouts = readTimeouts(request.getCustomtimeouts(), what);
  const parent = request.getParent();
  return {
    type,
    name,
    custom: request.getCustom(),
    inputs,
    dependencies,
    propertyDependencies,
    ignoreChanges: request.getIgnorechangesList(),
    replaceOnChanges: request.getReplaceonchangesList(),
    additionalSecretOutputs: request.getAdditionalsecretoutputsList(),
    aliases: [
      ...request.getAliasurnsList().map(urn => ({ urn })),
      ...request.getAliasesList().map(alias => readAlias(protocol, alias)),
    ],
    ...(parent ? { parent } : {}),
    ...(request.hasProtect() ? { protect: request.getProtect() as boolean } : {}),
    ...(request.hasRetainondelete() ? { retainOnDelete: request.getRetainondelete() as boolean } : {}),
    ...(request.getDeletebeforereplacedefined() || request.getDeletebeforereplace()
      ? { deleteBeforeReplace: request.getDeletebeforereplace() }
      : {}),
    ...(customTimeouts ? { customTimeouts } : {}),
  };
}

function refuseOptions(request: ResourceProto.RegisterResourceRequest, what: string): void {
  const refuse = (option: string) => {
    throw new UnsupportedError(`${option} of ${what}`);
  };
  // Accessors that older or newer copies of @pulumi/pulumi lack.
  const optional = request as unknown as Record<string, (() => unknown) | undefined>;
  const length = (accessor: string): number => {
    const value = optional[accessor]?.call(request) as unknown[] | { getLength?(): number } | undefined;
    if (!value) return 0;
    return Array.isArray(value) ? value.length : (value.getLength?.() ?? 0);
  };
  if (request.getRemote()) refuse("being a remote component");
  if (request.getCustom() && !isDynamic(request.getType())) {
    if (request.getType().startsWith("pulumi:providers:")) refuse("being an explicit provider");
    refuse(`the provider "${request.getType().split(":")[0]}"`);
  }
  if (request.getImportid()) refuse("the option import");
  if (request.getProvider()) refuse("the option provider");
  if (request.getProvidersMap().getLength() > 0) refuse("the option providers");
  if (request.getVersion()) refuse("the option version");
  if (request.getPlugindownloadurl()) refuse("the option pluginDownloadURL");
  if (request.getDeletedwith()) refuse("the option deletedWith");
  if (request.getTransformsList().length > 0) refuse("the option transforms");
  if (request.getPackageref()) refuse("its package");
  if (length("getReplaceWithList") > 0) refuse("the option replaceWith");
  if (optional.hasReplacementTrigger?.call(request)) refuse("the option replacementTrigger");
  if (length("getHidediffsList") > 0) refuse("the option hideDiffs");
  if (length("getEnvvarmappingsMap") > 0) refuse("the option envVarMappings");
  if (length("getStateMigrationsList") > 0) refuse("the option stateMigrations");
  const hooks = request.getHooks()?.toObject() ?? {};
  if (Object.values(hooks).some(list => Array.isArray(list) && list.length > 0)) refuse("the option hooks");
}

function readAlias(
  protocol: Protocol,
  alias: ReturnType<ResourceProto.RegisterResourceRequest["getAliasesList"]>[number],
): Alias {
  if (alias.getAliasCase() === protocol.alias.Alias.AliasCase.URN) return { urn: alias.getUrn() };
  const spec = alias.getSpec();
  if (!spec) return {};
  const result: Alias = {};
  if (spec.getName()) result.name = spec.getName();
  if (spec.getType()) result.type = spec.getType();
  if (spec.getStack()) result.stack = spec.getStack();
  if (spec.getProject()) result.project = spec.getProject();
  if (spec.getParenturn()) result.parent = spec.getParenturn();
  if (spec.getNoparent()) result.noParent = true;
  return result;
}

function readTimeouts(
  raw: ResourceProto.RegisterResourceRequest.CustomTimeouts | undefined,
  what: string,
): CustomTimeouts | undefined {
  const timeouts: CustomTimeouts = {};
  for (const [key, text] of [
    ["create", raw?.getCreate()],
    ["update", raw?.getUpdate()],
    ["delete", raw?.getDelete()],
    ["read", (raw as { getRead?(): string } | undefined)?.getRead?.()],
  ] as const) {
    if (text) timeouts[key] = parseDuration(text, `${key} timeout of ${what}`);
  }
  return Object.keys(timeouts).length > 0 ? timeouts : undefined;
}

const unitSeconds: Record<string, number> = { ns: 1e-9, us: 1e-6, µs: 1e-6, ms: 1e-3, s: 1, m: 60, h: 3600 };

/** Seconds of a Go duration such as "1h30m" or "1.5s". */
export function parseDuration(text: string, what: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)];
  if (parts.length === 0 || parts.map(part => part[0]).join("") !== text) {
    throw new Error(`reading the ${what}: "${text}" is not a duration such as "90s", "5m" or "1h30m"`);
  }
  return parts.reduce(
    (sum, [, number, unit]) => sum + Number(number) * (unitSeconds[unit as string] as number),
    0,
  );
}

/** Whether the URN is the stack's own. */
export const isStackUrn = (urn: Urn): boolean => urn.split("::")[2] === STACK_TYPE;
