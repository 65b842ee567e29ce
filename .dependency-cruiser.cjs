/** The layers: an import arrow points only downwards (README, "How it works"). */
const layer = (name, from, to, comment) => ({
  name,
  comment,
  severity: "error",
  from: { path: from },
  to: { path: to },
});

module.exports = {
  forbidden: [
    { name: "no-circular", severity: "error", from: {}, to: { circular: true } },
    layer(
      "pure-functions",
      "^provider/operations/(schedule\\.ts|retention/|time-zone\\.ts)",
      "^(sdk|engine|devcloud|provider/(?!operations/(schedule\\.ts|retention/|time-zone\\.ts)))",
      "schedule, retention and time-zone import nothing of ours but each other; the clock is an argument",
    ),
    layer(
      "openstack-knows-http-only",
      "^provider/openstack/",
      "^provider/(restic|operations|movers|resources|hosts)/",
    ),
    layer(
      "restic-knows-restic-only",
      "^provider/restic/",
      "^provider/(openstack|operations|movers|resources|hosts)/",
    ),
    layer("operations-below-resources", "^provider/operations/", "^provider/(resources|hosts)/"),
    layer("movers-below-resources", "^provider/movers/", "^provider/(resources|hosts)/"),
    layer("resources-below-hosts", "^provider/resources/", "^provider/hosts/"),
    layer(
      "provider-knows-no-pulumi",
      "^provider/(?!hosts/)",
      "(^(sdk|engine|devcloud)/|node_modules/@pulumi/)",
    ),
    layer("components-use-sdk-only", "^sdk/components/", "^(provider|engine|devcloud)/"),
    layer(
      "policy-uses-the-pure-files-only",
      "^sdk/policy/",
      "^(engine|devcloud|provider/(?!operations/(schedule\\.ts|retention/|nearest\\.ts)))",
    ),
    layer("engine-knows-no-provider", "^engine/", "^(provider|sdk|devcloud)/"),
    layer("devcloud-stands-alone", "^devcloud/(?!demo/)", "^(provider|sdk|engine)/"),
  ],
  options: {
    tsConfig: { fileName: "tsconfig.json" },
    doNotFollow: { path: "node_modules" },
    exclude: { path: "^dist/" },
    tsPreCompilationDeps: true,
  },
};
