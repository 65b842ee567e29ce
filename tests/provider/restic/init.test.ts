import assert from "node:assert/strict";
import { chmod, cp, mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { resolveAccess } from "../../../provider/restic/access.js";
import { isNoRepository, type ResticError } from "../../../provider/restic/errors.js";
import { initLockPath } from "../../../provider/restic/init-lock.js";
import { openRepository } from "../../../provider/restic/repository.js";
import {
  isAlive,
  newRepository,
  outputOf,
  password,
  restic,
  script,
  temporaryDirectory,
  tidyUp,
} from "./fixture.js";

describe("Repository.ensureInitialised", () => {
  after(tidyUp);

  const at = async (options = {}) => {
    const directory = await temporaryDirectory();
    const path = join(directory, "repo");
    return {
      path,
      directory,
      repository: openRepository(
        { url: path, password },
        { cacheDirectory: join(directory, "cache"), ...options },
      ),
    };
  };

  it("creates an absent repository once, however many callers there are", async () => {
    const { repository, path, directory } = await at();
    assert.equal(await repository.exists(), false);
    const again = openRepository(
      { url: `local:${path}/`, password },
      { cacheDirectory: join(directory, "cache") },
    );
    const outcomes = await Promise.all([
      repository.ensureInitialised(),
      again.ensureInitialised(),
      repository.ensureInitialised(),
    ]);
    assert.deepEqual(outcomes.sort(), ["created", "existing", "existing"]);
    assert.equal((await readdir(join(path, "keys"))).length, 1);
    assert.equal(await repository.exists(), true);
    assert.deepEqual((await readdir(directory)).sort(), ["cache", "repo"]);
  });

  it("creates it once when four processes start at the same instant", async () => {
    const { path, directory } = await at();
    const begin = Date.now() + 1500;
    const source = `
      const repository = openRepository({ url: ${JSON.stringify(path)}, password: ${JSON.stringify(password)} },
        { cacheDirectory: ${JSON.stringify(join(directory, "cache"))} });
      setTimeout(() => repository.ensureInitialised().then(console.log, error => console.log(error.message)), ${begin} - Date.now());`;
    const outcomes = await Promise.all([1, 2, 3, 4].map(() => outputOf(script(source))));
    assert.deepEqual(outcomes.sort(), ["created", "existing", "existing", "existing"]);
    assert.equal(restic(path, "list", "keys").trim().split("\n").length, 1);
  }).timeout(60_000);

  it("takes over the lock of a process that died while it initialised", async () => {
    const { repository, path } = await at({ lockWaitSeconds: 5 });
    const dead = script("process.stdout.write('x')");
    const pid = dead.pid as number;
    await outputOf(dead);
    assert.equal(isAlive(pid), false);
    const lock = initLockPath(resolveAccess({ url: path, password }));
    await writeFile(lock, JSON.stringify({ token: "t", pid, hostname: hostname(), started: "1" }));
    assert.equal(await repository.ensureInitialised(), "created");
    await assert.rejects(readdir(lock), { code: "ENOENT" });
  });

  it("waits for the lock of a live process, then says whose it is", async () => {
    const { repository, path } = await at({ lockWaitSeconds: 0.3 });
    const lock = initLockPath(resolveAccess({ url: path, password }));
    await writeFile(lock, JSON.stringify({ token: "t", pid: 4711, hostname: "elsewhere", started: "" }));
    await assert.rejects(repository.ensureInitialised(), {
      name: "ResticError",
      kind: "locked",
      message: `initialising ${path}: another process does so (${lock}, PID 4711 on elsewhere); waited 0.3 s`,
    });
    assert.deepEqual(await readdir(join(lock, "..")).then(names => names.filter(name => name !== "cache")), [
      ".repo.osbackup-init",
    ]);
  });

  it("never initialises when the password is wrong", async () => {
    const { path, directory } = await newRepository();
    const wrong = openRepository(
      { url: path, password: "not the password" },
      { cacheDirectory: join(directory, "c") },
    );
    await assert.rejects(wrong.ensureInitialised(), (error: ResticError) => {
      assert.equal(error.kind, "wrong-password");
      assert.equal(
        error.message,
        `opening ${path}: wrong password or no key found; check the repository's password (restic 0.14.0, exit 1)`,
      );
      return true;
    });
    assert.equal((await readdir(join(path, "keys"))).length, 1);
  });

  it("never initialises when the server cannot be reached", async () => {
    const repository = openRepository({ url: "rest:http://user:hunter22@127.0.0.1:9/", password });
    await assert.rejects(repository.ensureInitialised(), (error: ResticError) => {
      assert.equal(error.kind, "unreachable");
      assert.match(
        error.message,
        /^opening rest:http:\/\/user:\*\*\*@127\.0\.0\.1:9\/: unable to open config file: .*connection refused/,
      );
      return true;
    });
  });

  it("refuses a repository that lost its config but has data", async () => {
    const { repository, path } = await newRepository();
    await mkdir(join(path, "data", "00"), { recursive: true });
    await writeFile(join(path, "data", "00", "pack"), "data");
    await chmod(join(path, "config"), 0o600);
    await rm(join(path, "config"));
    await assert.rejects(repository.ensureInitialised(), {
      kind: "failed",
      message: `initialising ${path}: ${path} has data in data but no config; its config file was lost`,
    });
  });

  it("moves the key of an init that was killed half-way aside, since a second one would break the repository", async () => {
    const { repository, path } = await newRepository();
    await rm(join(path, "config"), { force: true });
    assert.equal(await repository.ensureInitialised(), "created");
    assert.equal((await readdir(join(path, "keys"))).length, 1);
    assert.equal((await readdir(path)).filter(name => name.startsWith("keys.half-made-")).length, 1);
    assert.deepEqual(await repository.snapshots(), []);
  });

  it("takes over the chunker parameters of another repository", async () => {
    const { path: sourcePath } = await newRepository();
    const { repository, path } = await at();
    await repository.ensureInitialised({ chunkerFrom: { url: sourcePath, password } });
    const polynomial = (at: string) => JSON.parse(restic(at, "cat", "config")).chunker_polynomial;
    assert.equal(polynomial(path), polynomial(sourcePath));
  });

  it("says that a broken repository is broken", async () => {
    // what two inits at once leave: two keys, one config
    const { repository, path } = await newRepository();
    const other = await at();
    await other.repository.ensureInitialised();
    const [first] = await readdir(join(path, "keys"));
    await rm(join(path, "keys", first as string), { force: true });
    await cp(join(other.path, "keys"), join(path, "keys"), { recursive: true });
    await assert.rejects(repository.ensureInitialised(), (error: ResticError) => {
      assert.equal(error.kind, "failed");
      assert.match(error.message, /key and config do not belong together/);
      return true;
    });
  });

  it("reads the password from a file and from a command", async () => {
    const { path, directory } = await newRepository();
    const passwordFile = join(directory, "password");
    await writeFile(passwordFile, `${password}\n`);
    const cacheDirectory = join(directory, "cache");
    assert.equal(await openRepository({ url: path, passwordFile }, { cacheDirectory }).exists(), true);
    const passwordCommand = `cat ${passwordFile}`;
    assert.equal(await openRepository({ url: path, passwordCommand }, { cacheDirectory }).exists(), true);
  });

  it("leaves no repository and no lock behind when it is cancelled", async () => {
    const { repository, directory } = await at();
    const controller = new AbortController();
    controller.abort();
    await assert.rejects(repository.ensureInitialised({ signal: controller.signal }), { kind: "cancelled" });
    assert.deepEqual(
      (await readdir(directory)).filter(name => name !== "cache"),
      [],
    );
  });
});

describe("Repository.exists", () => {
  after(tidyUp);

  it("throws when there is no restic", async () => {
    const repository = openRepository({ url: "/nowhere", password }, { binary: "restic-that-is-not-there" });
    await assert.rejects(repository.exists(), {
      kind: "not-installed",
      message: "looking for restic-that-is-not-there: not found in PATH; install it or give its path",
    });
  });

  it("is asked of all other commands, too: a missing repository is named as such", async () => {
    const repository = openRepository({ url: "/nowhere/at/all", password });
    await assert.rejects(repository.snapshots(), isNoRepository);
  });
});
