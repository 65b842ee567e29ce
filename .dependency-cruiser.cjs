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
    layer("kubernetes-stands-alone", "^provider/kubernetes/", "^provider/(?!(kubernetes|base)/)"),
    layer("base-stands-alone", "^provider/base/", "^provider/(?!base/)"),
    layer("openstack-knows-http-only", "^provider/openstack/", "^provider/(?!(openstack|base)/)"),
    layer("restic-knows-restic-only", "^provider/restic/", "^provider/(?!(restic|base)/)"),
    layer(
      "cinder-knows-openstack-only",
      "^provider/cinder/",
      "^provider/(?!(cinder|openstack|base)/)",
      "what takes time in Cinder: waits, removals, attachments",
    ),
    layer(
      "movers-below-operations",
      "^provider/movers/",
      "^provider/(?!(movers|cinder|openstack|restic|kubernetes|base)/)",
      "a mover knows volumes and repositories, not sets and points",
    ),
    layer("operations-below-resources", "^provider/operations/", "^provider/(resources|driver|hosts)/"),
    layer("operations-know-movers-by-their-face", "^provider/operations/", "^provider/movers/(?!mover\\.ts)"),
    layer("resources-below-the-driver", "^provider/resources/", "^provider/(driver|hosts)/"),
    layer(
      "signals-know-no-resources",
      "^provider/signals/",
      "^provider/(?!(signals|base|operations/(schedule\\.ts|time-zone\\.ts)))",
    ),
    layer("driver-below-hosts", "^provider/driver/", "^provider/hosts/"),
    layer(
      "provider-knows-no-pulumi",
      "^provider/(?!hosts/)",
      "(^(sdk|engine|devcloud)/|node_modules/@pulumi/)",
    ),
    layer("components-use-sdk-only", "^sdk/components/", "^(provider|engine|devcloud)/"),
    layer(
      "policy-uses-the-pure-files-only",
      "^sdk/policy/",
      "^(engine|devcloud|provider/(?!operations/(schedule\\.ts|retention/|nearest\\.ts|opt-out\\.ts)))",
    ),
    {
      name: "packages-name-what-they-use",
      severity: "error",
      from: { path: "^(engine|devcloud)/" },
      to: { dependencyTypes: ["npm-no-pkg", "npm-unknown"] },
    },
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
