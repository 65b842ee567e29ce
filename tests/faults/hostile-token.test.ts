import { tidyUp } from "../provider/restic/fixture";
import { outliveTokens } from "./hostile-token";

describe("tokens that live 2 s", () => {
  after(tidyUp);

  it("are made anew for backups that take longer, and no run notices", () => outliveTokens(2, 3, 2)).timeout(
    60_000,
  );
});
