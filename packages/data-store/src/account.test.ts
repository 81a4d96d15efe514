import { deepStrictEqual, throws } from "node:assert/strict";
import { Account, type AccountCounts, checkAccount, mergeAccounts } from "./account.js";

function counted(texts: readonly string[], dropped: readonly string[]): AccountCounts {
  const account = new Account();
  for (const text of texts) {
    account.enter();
    account.deliver(text);
  }
  for (const reason of dropped) {
    account.enter();
    account.drop(reason);
  }
  return account.counts("test");
}

describe("accounts", () => {
  it("an account counts documents, UTF-8 bytes and reasons", () => {
    deepStrictEqual(counted(["ab", "é"], ["bad JSON", "no text", "bad JSON"]), {
      in: 5,
      out: 2,
      dropped: { "bad JSON": 2, "no text": 1 },
      bytes: 4,
      errors: [],
    });
  });

  it("the sums of accounts do not depend on their order", () => {
    const accounts = [counted(["a"], ["x", "z"]), counted([], ["y", "x"]), counted(["bc", "d"], [])];
    const merged = mergeAccounts(accounts, "all");
    deepStrictEqual(merged, { in: 7, out: 3, dropped: { x: 2, y: 1, z: 1 }, bytes: 4, errors: [] });
    deepStrictEqual(mergeAccounts([...accounts].reverse(), "all"), merged);
    deepStrictEqual(mergeAccounts([mergeAccounts(accounts.slice(0, 2), "two"), ...accounts.slice(2)], "all"), merged);
  });

  it("an account that lost a document is refused when it is counted, merged and checked", () => {
    const account = new Account();
    account.enter(2);
    account.drop("too large");
    const lost = { in: 2, out: 0, dropped: { "too large": 1 }, bytes: 0, errors: [] };
    for (const use of [() => account.counts("shard 3"), () => checkAccount(lost, "shard 3"), () => mergeAccounts([lost, lost], "shard 3")])
      throws(use, { code: "LAP_DATA_ACCOUNT", location: "shard 3" });
    throws(() => checkAccount({ ...lost, dropped: { a: 3, b: -1 } }, "shard 3"), { code: "LAP_DATA_ACCOUNT" });
  });
});
