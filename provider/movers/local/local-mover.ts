import { attachVolume } from "../../cinder/attach-volume";
import { readingMover } from "./reading-mover";

/** Wait for an attachment to come and to go, in seconds. */
const attachTimeoutSeconds = 300;

/** Cinder exports the volume to the machine that runs the stack, which reaches the storage itself. */
export const localMover = readingMover(({ session, volumeId, signal }) =>
  attachVolume(session, volumeId, { timeoutSeconds: attachTimeoutSeconds, signal }),
);
