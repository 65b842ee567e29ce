import { existsSync } from "node:fs";
import { installPackages } from "./install";
import { freePort, inRun, type Run, type ServiceHandle } from "./run";

/** A database server; every database is reached by the user `os` with the password `ospw`. */
export interface MariadbHandle extends ServiceHandle {
  port: number;
  /** Executes statements as the administrator and returns the rows, tab-separated. */
  sql(statements: string): Promise<string>;
  /** Makes the database if it is missing; true if it was. */
  createDatabase(name: string, characterSet?: "utf8mb3" | "utf8mb4"): Promise<boolean>;
  /** The address of a database as SQLAlchemy takes it. */
  databaseUrl(name: string): string;
}

/** Installs Debian's server and client. */
export async function install(): Promise<void> {
  await installPackages(["mariadb-server", "mariadb-client"]);
}

/** Starts the server on `state/mariadb` of the run, which is made if it is missing. */
export function start(options: { run?: Run; persistent?: boolean } = {}): Promise<MariadbHandle> {
  return inRun(options.run, options.persistent ?? false, async run => {
    const data = run.path("state/mariadb");
    const socket = run.path("mariadb.sock");
    const isNew = !existsSync(data);
    const asRoot = process.getuid?.() === 0 ? ["--user=root"] : [];
    if (isNew) {
      await run.execute("mariadb-install", {
        program: "mariadb-install-db",
        args: [
          "--no-defaults",
          ...asRoot,
          `--datadir=${data}`,
          "--auth-root-authentication-method=normal",
          "--skip-test-db",
        ],
      });
    }
    const port = await freePort();
    run.spawn(
      "mariadb",
      {
        program: "mariadbd",
        args: [
          "--no-defaults",
          ...asRoot,
          `--datadir=${data}`,
          `--socket=${socket}`,
          `--pid-file=${run.path("mariadb.pid")}`,
          "--bind-address=127.0.0.1",
          `--port=${port}`,
          "--skip-log-bin",
          "--skip-name-resolve",
          "--performance-schema=off",
          "--innodb-buffer-pool-size=64M",
          "--innodb-log-file-size=16M",
          "--innodb-flush-log-at-trx-commit=0", // nothing here has to survive a power failure
          "--key-buffer-size=1M",
          "--max-connections=300",
        ],
      },
      "base",
    );
    const sql = (statements: string) =>
      run.execute("mariadb-client", {
        program: "mariadb",
        args: [
          "--no-defaults",
          `--socket=${socket}`,
          "--user=root",
          "--batch",
          "--skip-column-names",
          "-e",
          statements,
        ],
      });
    await run.ready("mariadb", 60, async () => existsSync(socket) && (await sql("SELECT 1")) === "1\n");
    if (isNew) await sql("CREATE USER os@'%' IDENTIFIED BY 'ospw'; GRANT ALL ON *.* TO os@'%'");
    return {
      url: `mysql://127.0.0.1:${port}`,
      environment: {},
      logs: [run.logPath("mariadb")],
      stop: () => run.stopProcesses(["mariadb"]),
      port,
      sql,
      async createDatabase(name, characterSet = "utf8mb4") {
        if ((await sql(`SHOW DATABASES LIKE '${name.replaceAll("_", "\\_")}'`)) !== "") return false;
        await sql(`CREATE DATABASE ${name} CHARACTER SET ${characterSet}`);
        return true;
      },
      databaseUrl: name => `mysql+pymysql://os:ospw@127.0.0.1:${port}/${name}?charset=utf8mb4`,
    };
  });
}
