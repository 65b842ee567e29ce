import { z } from "zod";

const quantities = z.record(z.string(), z.string());

/** What the mover 'kubernetes' takes. Names and shapes of Kubernetes where it has them. */
export const kubernetesOptions = z.strictObject({
  kubeconfig: z
    .string()
    .describe(
      "Path of a kubeconfig. Default: KUBECONFIG, then ~/.kube/config, then the pod's own service account.",
    )
    .optional(),
  context: z.string().describe("Context in it. Default: its current one.").optional(),
  namespace: z
    .string()
    .describe("Where the Jobs run. Default: that of the context, then 'default'.")
    .optional(),
  image: z
    .string()
    .describe("Image with restic and a shell. Default: restic/restic of the version that runs here.")
    .optional(),
  imagePullSecrets: z
    .array(z.string())
    .describe("Names of Secrets that open the image's registry.")
    .optional(),
  repositorySecret: z
    .string()
    .describe(
      "Name of a Secret whose keys are the variables of the repository: RESTIC_PASSWORD, AWS_ACCESS_KEY_ID and the like. " +
        "Default: the run makes one of its own and removes it.",
    )
    .optional(),
  storageClass: z.string().describe("storageClassName of the temporary claim. Default none.").optional(),
  fsType: z
    .enum(["ext4", "ext3", "xfs", "btrfs"])
    .describe(
      "File system of the volume. Default: ext4, then xfs, then, with content 'auto', the raw device.",
    )
    .optional(),
  serviceAccountName: z.string().describe("Service account of the pods. Default: 'default'.").optional(),
  nodeSelector: quantities.describe("Labels that the node must have.").optional(),
  tolerations: z
    .array(
      z.strictObject({
        key: z.string().optional(),
        operator: z.enum(["Exists", "Equal"]).optional(),
        value: z.string().optional(),
        effect: z.enum(["NoSchedule", "PreferNoSchedule", "NoExecute"]).optional(),
        tolerationSeconds: z.number().int().optional(),
      }),
    )
    .describe("Taints that the pods tolerate.")
    .optional(),
  affinity: z
    .record(z.string(), z.unknown())
    .describe("Affinity of the pods, as Kubernetes has it.")
    .optional(),
  resources: z
    .strictObject({ requests: quantities.optional(), limits: quantities.optional() })
    .describe("Requests and limits of the container, such as {limits: {memory: '512Mi'}}. Default none.")
    .optional(),
  securityContext: z
    .record(z.string(), z.unknown())
    .describe(
      "Of the container. Default: root without privileges, with the one capability that reads every file " +
        "(DAC_READ_SEARCH; to restore, those that set owners).",
    )
    .optional(),
  bindTimeoutSeconds: z
    .number()
    .int()
    .positive()
    .describe("How long the temporary claim may take to bind. Default 300.")
    .optional(),
  startTimeoutSeconds: z
    .number()
    .int()
    .positive()
    .describe("How long the pod may take to start: to be scheduled, attached, mounted, pulled. Default 600.")
    .optional(),
  maxJobs: z
    .number()
    .int()
    .positive()
    .describe("How many Jobs this run has at most at one time; further ones wait. Default 10.")
    .optional(),
});

export type KubernetesOptions = z.output<typeof kubernetesOptions>;
