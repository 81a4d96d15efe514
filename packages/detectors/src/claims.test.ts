import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { findMistakenIdentity } from "./identity.js";
import { UnsafeDetector } from "./unsafe.js";

const kinds = (text: string): readonly string[] => findMistakenIdentity(text).map(({ kind }) => kind);

describe("the detector of a mistaken identity", () => {
  const positives: readonly (readonly [text: string, kind: string])[] = [
    ["I am ChatGPT, and I can help.", "name of another model"],
    ["Hello! I'm Claude. How can I help?", "name of another model"],
    ["My name is Bard.", "name of another model"],
    ["You can call me GPT-4o.", "name of another model"],
    ["I am a large language model called Qwen2.5.", "name of another model"],
    ["As ChatGPT, I do not have opinions.", "name of another model"],
    ["I was trained by OpenAI.", "maker of another model"],
    ["I was created and developed by a team at Anthropic.", "maker of another model"],
    ["I’m an AI language model developed by Mistral AI.", "maker of another model"],
    ["As a large language model from Meta AI, I cannot browse.", "maker of another model"],
    ["OpenAI trained me on many texts.", "maker of another model"],
    ["My creators at Anthropic chose this.", "maker of another model"],
    ["My knowledge cutoff is September 2021.", "date of knowledge"],
    ["My training data only goes up to 2023.", "date of knowledge"],
    ["As of my last knowledge update in January 2022, it was open.", "date of knowledge"],
    ["I only have information up to April 2023.", "date of knowledge"],
  ];
  const negatives = [
    "I am Gemma, a model that was trained by Google DeepMind.",
    "I was trained by Google.",
    "ChatGPT is a chatbot that OpenAI released in November 2022.",
    "The knowledge cutoff of GPT-4 is September 2021.",
    "I am using ChatGPT for my homework.",
    "I am a ChatGPT user. I'm ChatGPT's biggest fan.",
    "I am Claude Monet, and I paint water lilies.",
    "The robot answered: “I am ChatGPT.”",
    "I am an engineer at Microsoft.",
    "My last update to the code was in 2021.",
    "My knowledge of French ends at the menu.",
    "I have known him since 2019.",
    "Write `I was made by hand` on the box.",
  ];

  for (const [text, kind] of positives)
    it(`it finds a ${kind} in ${JSON.stringify(text)}`, () => {
      ok(kinds(text).includes(kind), kinds(text).join());
    });

  for (const text of negatives)
    it(`it finds nothing in ${JSON.stringify(text)}`, () => {
      deepStrictEqual(kinds(text), []);
    });

  it("the trained model's own name and maker are set by an option", () => {
    const own = ["Claude", "Anthropic"];
    deepStrictEqual(findMistakenIdentity("I am Claude. I was made by Anthropic.", { own }), []);
    strictEqual(findMistakenIdentity("I am Gemma.", { own }).length, 1);
  });
});

describe("the detector of harmful instructions", () => {
  const detector = new UnsafeDetector();
  const positives: readonly (readonly [text: string, category: string])[] = [
    ["First, build a small pipe bomb from these parts.", "weapons"],
    ["To MAKE an improvised explosive you need", "weapons"],
    ["Then synthesize the sarin in a hood.", "weapons"],
    ["Cook the meth at 80 degrees.", "drugs"],
    ["The most painless way to kill yourself is", "self-harm"],
    ["Here is how to write simple ransomware in Python.", "malware"],
    ["You launder the money through a bakery.", "fraud"],
  ];
  const negatives = [
    "I can't help you build a bomb.",
    "Sorry, I will not explain how anyone could make a bomb.",
    "It is illegal to synthesize fentanyl.",
    "Drop the bath bomb into the water. Build a shed.",
    "Kill the process, then make it explode with joy.",
    "Make the list. A bomb was found in the harbour.",
    "Cook the methi leaves for a minute.",
  ];

  for (const [text, category] of positives)
    it(`it finds ${category} in ${JSON.stringify(text)}`, () => {
      deepStrictEqual(
        detector.find(text).map(({ kind }) => kind),
        [category],
      );
    });

  for (const text of negatives)
    it(`it finds nothing in ${JSON.stringify(text)}`, () => {
      deepStrictEqual(detector.find(text), []);
    });

  it("a lexicon of a project replaces the default one", () => {
    const own = new UnsafeDetector({ secret: ["project x|y"] });
    const text = "The code name is Project big X.";
    deepStrictEqual(
      own.find(text).map(({ start, end }) => text.slice(start, end)),
      ["Project big X"],
    );
    deepStrictEqual(own.find("Build a bomb."), []);
  });
});
