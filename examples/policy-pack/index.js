const { PolicyPack } = require("@pulumi/policy");
const { policies } = require("pulumi-openstack-backup/policy");

new PolicyPack("openstack-backup", { policies });
