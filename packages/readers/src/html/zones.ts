/**
 * What the elements around a text say about it:
 *
 *  - `skipped`: no reader sees it as text, such as scripts and form controls;
 *  - `frame`: an element frames the page, such as navigation;
 *  - `secondary`: a class name says that it is not of the main text, such as an advertisement or a comment;
 *  - `main`: it is in an element for the main text;
 *  - `plain`: nothing is said.
 */
export type Zone = "skipped" | "frame" | "secondary" | "main" | "plain";

const wordSet = (words: string): ReadonlySet<string> => new Set(words.split(" "));

const skippedTags = wordSet(
  "script style noscript template svg math iframe object canvas select option optgroup datalist button textarea input head title audio video map",
);
const frameTags = wordSet("nav footer aside menu dialog");
const frameRoles = wordSet("navigation banner contentinfo complementary search dialog alertdialog alert menu menubar toolbar tablist");
const mainTags = wordSet("main article");

/** Words of class names and ids. */
const secondaryWords = wordSet(
  "nav navbar navigation menu sidebar breadcrumb breadcrumbs footer masthead cookie cookies consent gdpr banner advert advertisement ad ads sponsor sponsored promo social share sharing related recommended recommendations trending popular newsletter subscribe subscription popup modal overlay pagination pager skip toolbar widget comment comments disqus login signup copyright legal byline author avatar signature meta metadata tags tagcloud timestamp dateline rating",
);
const mainWords = wordSet("content article post entry story main body text message markdown prose answer question hentry articlebody");
/** `has-sidebar` says nothing about the element itself. */
const stateWords = wordSet("has no with without is hide show not");

/** The zone of an element inside of an element of the zone `outer`. */
export function zoneOf(tag: string, attributes: ReadonlyMap<string, string>, outer: Zone): Zone {
  if (outer === "skipped" || skippedTags.has(tag)) return "skipped";
  if (attributes.has("hidden") || attributes.get("aria-hidden") === "true") return "skipped";
  if (/display\s*:\s*none|visibility\s*:\s*hidden/.test(attributes.get("style") ?? "")) return "skipped";
  const role = attributes.get("role") ?? "";
  // The header of a page frames it. The header of an article has its title.
  if (outer === "frame" || frameTags.has(tag) || frameRoles.has(role) || (tag === "header" && outer !== "main")) return "frame";
  if (mainTags.has(tag) || role === "main" || attributes.get("itemprop") === "articlebody")
    return outer === "secondary" ? "secondary" : "main";
  return tag === "body" || tag === "html" ? outer : namedZone(attributes, outer);
}

function namedZone(attributes: ReadonlyMap<string, string>, outer: Zone): Zone {
  const names = [...(attributes.get("class") ?? "").split(/\s+/), attributes.get("id") ?? ""].map(nameMeaning);
  // An element that is left open must not hide the main text after it.
  if (names.includes("main")) return outer === "secondary" ? "plain" : outer;
  return names.includes("secondary") ? "secondary" : outer;
}

/** `post-meta` is not of the post, since its last word decides; `comment-text` says nothing more than the comment around it. */
function nameMeaning(name: string): "main" | "secondary" | undefined {
  const words = name.split(/[-_]+/).filter((word) => word !== "");
  if (stateWords.has(words[0] ?? "")) return undefined;
  if (!words.some((word) => secondaryWords.has(word))) return words.some((word) => mainWords.has(word)) ? "main" : undefined;
  const isMixed = words.some((word) => mainWords.has(word));
  return isMixed && !secondaryWords.has(words[words.length - 1] ?? "") ? undefined : "secondary";
}
