import { equal } from "node:assert/strict";
import { ContaminationIndex, type EvaluationItem } from "./contamination-index.js";

const instruction = "Choose the one option that answers the question below, and write its letter alone on the last line.";
const passage = "The river rises in the hills behind the old mill and reaches the sea after ninety miles of slow water.";
const items: readonly EvaluationItem[] = [
  {
    id: "apples",
    query:
      "Mara has 31 apples and gives 4 of them to each of 5 neighbours in the street behind the school. On the way home she finds a box of 20 more, and half of them are broken. How many apples are left?",
    label: "First, 4 times 5 is 20, so 11 apples are left, and 10 more make 21.",
  },
  {
    id: "pears",
    query:
      "Olek has 64 pears and gives 7 of them to each of 8 neighbours in the street behind the bakery. On the way home he finds a box of 36 more, and half of them are broken. How many pears are left?",
    label: "First, 7 times 8 is 56, so 8 pears are left, and 18 more make 26.",
  },
  {
    id: "tickets",
    query: `${instruction}\n\nWhich of the following was banned in the harbour of Velmora in the year 1391?\nA) the northern lantern\nB) the silent loom\nC) a clock with two hands`,
    label: "B",
  },
  {
    id: "coins",
    query: `${instruction}\n\nWho was the keeper of the coins when the last bridge of Quistad fell into the river?\nA) a teacher of music\nB) the tallest of the guards\nC) a boy with a drum`,
    label: "C",
  },
  {
    id: "reading",
    query: `${passage}\n\nQuestion: Which distance does the water travel before it meets the sea at the town?`,
    label: "ninety miles",
    context: passage,
  },
  { id: "loom", query: "Who built the first silent loom of Quistad?", label: "Petra Iyer" },
  {
    id: "series",
    query:
      "The sum of the first n terms of an arithmetic series is n over two times the sum of its first and last term. What is the sum of the first 47 even numbers?",
    label: "2256",
  },
];
const index = new ContaminationIndex(items);
const item = (id: string): EvaluationItem => items.find((each) => each.id === id) ?? { id, query: "", label: "" };
const both = (id: string): string => `${item(id).query}\n${item(id).label}`;
const around = (text: string): string => `It was a long day in the village, and it was cold.\n\n${text}\n\nThen they all went home to eat.`;
const found = (text: string): string | undefined => index.find(around(text))?.item;

describe("the contamination of a document", () => {
  it("an item is found in every layout and with markup", () => {
    for (const { id } of items.filter(({ id }) => id !== "loom" && id !== "series")) {
      equal(found(both(id)), id);
      equal(found(item(id).query), id, "the question alone");
      equal(found(both(id).toUpperCase().replaceAll(",", " –")), id);
      equal(found(JSON.stringify({ question: item(id).query, answer: item(id).label })), id);
      equal(found(`<p>${item(id).query.replaceAll(" ", "&nbsp;")}</p><p><b>${item(id).label}</b></p>`), id);
      equal(found(both(id).replace(/(.{1,30})(?: |$)/g, "> $1\n")), id);
    }
  });

  it("an item is found if one word in nine is changed, or if it is cut off after two thirds", () => {
    const words = both("apples").split(/\s+/);
    equal(found(words.map((word, i) => (i % 9 === 4 ? "surely" : word)).join(" ")), "apples");
    equal(found(words.slice(0, Math.floor(words.length * 0.66)).join(" ")), "apples");
  });

  it("an instruction that several items have, and a public passage, are not contamination", () => {
    equal(found(instruction), undefined);
    equal(found(`${instruction}\n\nWhat was the name of the ship that left in the spring?\nA) the heron\nB) the oak`), undefined);
    equal(found(passage), undefined);
  });

  it("the same problem with other numbers, and a sentence that the item quotes, are not contamination", () => {
    equal(
      found(
        both("apples")
          .replace(/\d+/g, (number) => String(Number(number) + 3))
          .replace("Mara", "Jonas")
          .replace("school", "mill"),
      ),
      undefined,
    );
    equal(found("The sum of the first n terms of an arithmetic series is n over two times the sum of its first and last term."), undefined);
    equal(found(both("series")), "series");
  });

  it("a short question is found only with its answer within 60 words", () => {
    equal(found("Q: who built the first silent loom of Quistad? A: **Petra Iyer**"), "loom");
    equal(found(`Petra Iyer. ${"word ".repeat(40)} Who built the first silent loom of Quistad?`), "loom");
    equal(found("Who built the first silent loom of Quistad? The books do not say."), undefined);
    equal(found(`Who built the first silent loom of Quistad? ${"word ".repeat(61)} Petra Iyer`), undefined);
  });

  it("the passage that holds the item is reported in words", () => {
    const { start, end, share } = index.find(`one two three ${item("loom").query} four Petra Iyer five`) ?? {};
    equal(`${start} ${end} ${share}`, "3 14 1");
  });
});
