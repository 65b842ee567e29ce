import { createRequire } from "node:module";
import { join } from "node:path";
import type * as Grpc from "@grpc/grpc-js";
import type * as AliasProto from "@pulumi/pulumi/proto/alias_pb";
import type * as AnalyzerGrpc from "@pulumi/pulumi/proto/analyzer_grpc_pb";
import type * as AnalyzerProto from "@pulumi/pulumi/proto/analyzer_pb";
import type * as EngineGrpc from "@pulumi/pulumi/proto/engine_grpc_pb";
import type * as EngineProto from "@pulumi/pulumi/proto/engine_pb";
import type * as ProviderGrpc from "@pulumi/pulumi/proto/provider_grpc_pb";
import type * as ProviderProto from "@pulumi/pulumi/proto/provider_pb";
import type * as ResourceGrpc from "@pulumi/pulumi/proto/resource_grpc_pb";
import type * as ResourceProto from "@pulumi/pulumi/proto/resource_pb";
import type * as StatusProto from "@pulumi/pulumi/proto/status_pb";
import type * as EmptyProto from "google-protobuf/google/protobuf/empty_pb";
import type * as StructProto from "google-protobuf/google/protobuf/struct_pb";

/** Pulumi's gRPC protocol as the program's own copy of @pulumi/pulumi speaks it. */
export interface Protocol {
  /** Version of @pulumi/pulumi. */
  version: string;
  /** Files to run with node. */
  runPath: string;
  dynamicProviderPath: string;
  grpc: typeof Grpc;
  empty: typeof EmptyProto;
  struct: typeof StructProto;
  status: typeof StatusProto;
  alias: typeof AliasProto;
  engine: typeof EngineProto;
  engineService: typeof EngineGrpc;
  provider: typeof ProviderProto;
  providerService: typeof ProviderGrpc;
  resource: typeof ResourceProto;
  resourceService: typeof ResourceGrpc;
}

/** gRPC's 4 MB default is too small for a large state; this is the figure that Pulumi's own processes use. */
export const channelOptions = {
  "grpc.max_receive_message_length": 400 * 1024 * 1024,
  "grpc.max_send_message_length": 400 * 1024 * 1024,
  "grpc.server_max_unrequested_time_in_server": 30 * 60,
};

/** The part of the protocol that policy packs speak, as a pack's own copy of @pulumi/pulumi does. */
export interface AnalyzerProtocol {
  /** File to run with node. */
  runPath: string;
  grpc: typeof Grpc;
  empty: typeof EmptyProto;
  struct: typeof StructProto;
  analyzer: typeof AnalyzerProto;
  analyzerService: typeof AnalyzerGrpc;
}

/** Finds @pulumi/pulumi as the policy pack in `directory` would. */
export function loadAnalyzerProtocol(directory: string): AnalyzerProtocol {
  const { load } = findPulumi(directory, "the policy pack");
  return {
    runPath: load.resolve("./cmd/run-policy-pack"),
    grpc: load("@grpc/grpc-js"),
    empty: load("google-protobuf/google/protobuf/empty_pb"),
    struct: load("google-protobuf/google/protobuf/struct_pb"),
    analyzer: load("./proto/analyzer_pb"),
    analyzerService: load("./proto/analyzer_grpc_pb"),
  };
}

function findPulumi(directory: string, what: string) {
  const resolve = createRequire(join(directory, "index.js")).resolve;
  try {
    const manifestPath = resolve("@pulumi/pulumi/package.json");
    return { manifestPath, load: createRequire(manifestPath) };
  } catch (cause) {
    throw new Error(`starting ${what}: no @pulumi/pulumi found from ${directory}; run npm install there`, {
      cause,
    });
  }
}

/** Finds @pulumi/pulumi as the program in `directory` would. */
export function loadProtocol(directory: string): Protocol {
  const { manifestPath, load } = findPulumi(directory, "the program");
  return {
    version: (load(manifestPath) as { version: string }).version,
    runPath: load.resolve("./cmd/run"),
    dynamicProviderPath: load.resolve("./cmd/dynamic-provider"),
    grpc: load("@grpc/grpc-js"),
    empty: load("google-protobuf/google/protobuf/empty_pb"),
    struct: load("google-protobuf/google/protobuf/struct_pb"),
    status: load("./proto/status_pb"),
    alias: load("./proto/alias_pb"),
    engine: load("./proto/engine_pb"),
    engineService: load("./proto/engine_grpc_pb"),
    provider: load("./proto/provider_pb"),
    providerService: load("./proto/provider_grpc_pb"),
    resource: load("./proto/resource_pb"),
    resourceService: load("./proto/resource_grpc_pb"),
  };
}
