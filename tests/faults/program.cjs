/**
 * What the stack of the faults declares: two sets in one repository, the images of a server, and later a restore. One text
 * for programs in this process and in one of their own.
 */
exports.declare = (sdk, given) => {
  const { url, password, volumes, serverId, restores, timeoutSeconds, restoreSeconds, volumeType } = given;
  const { ofSet = {} } = given;
  const repository = new sdk.ResticRepository("repository", { url, password });
  const sets = Object.entries(volumes).map(
    ([name, volumeId]) =>
      new sdk.VolumeBackup(name, {
        volumeId,
        schedule: ofSet[name]?.schedule ?? "0 * * * *",
        repository,
        snapshot: {
          retention: ofSet[name]?.cinder ?? { keepLast: 1 },
          timeoutSeconds,
          deletionPolicy: "delete",
        },
        temporaryVolume: { timeoutSeconds },
        retention: ofSet[name]?.copies ?? { keepLast: 2 },
        deletionPolicy: "delete",
      }),
  );
  if (serverId !== undefined)
    new sdk.ServerBackup("web", {
      serverId,
      schedule: "0 * * * *",
      retention: { keepLast: 2 },
      timeoutSeconds,
      deletionPolicy: "delete",
    });
  if (restores)
    new sdk.VolumeRestore("restored", {
      backup: sets[0].backup,
      resticSnapshotId: "latest",
      timeoutSeconds: restoreSeconds,
      deletionPolicy: "delete",
      ...(volumeType && { volumeType }),
    });
};
