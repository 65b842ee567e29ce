/**
 * Why a volume could not be reached: "in-use" another live process holds the mount path; "unsupported" this
 * machine or this program has no way to read such a volume; "missing-tool" a program is not installed; "damaged"
 * the file system needs a repair by hand; "cancelled" the signal or the deadline ended it; "failed" anything else.
 */
export type VolumeErrorKind = "in-use" | "unsupported" | "missing-tool" | "damaged" | "cancelled" | "failed";

/** Thrown by everything in this folder. The message names the device or path, never a secret. */
export class VolumeError extends Error {
  constructor(
    readonly kind: VolumeErrorKind,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = "VolumeError";
  }
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
