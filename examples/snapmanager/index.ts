import * as pulumi from "@pulumi/pulumi";
import { SnapshotSchedule } from "pulumi-openstack-backup";

const config = new pulumi.Config();

const schedule = new SnapshotSchedule("snapmanager", {
  file: config.get("file") ?? "snap_sched.yml",
  // servers that the file does not name: weekdays at 06:15, 11:15, 15:15 and 19:15, the last 5 stay
  general: config.getBoolean("general") ?? false,
  // servers of every project that the login has a role in
  allProjects: config.getBoolean("allProjects") ?? false,
  // a server that is gone keeps its points until you say otherwise
  onSourceDelete: config.get("onSourceDelete") === "delete" ? "delete" : "retain",
});

export const sets = schedule.summary;
