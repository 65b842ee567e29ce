import { tidyUp } from "../provider/restic/fixture";
import { outliveTokens } from "./hostile-token";

describe("tokens that live 20 s", () => {
  after(tidyUp);

  it("are made anew for backups that take longer, and no run notices", () => outliveTokens(20, 25)).timeout(
    180_000,
  );
});
