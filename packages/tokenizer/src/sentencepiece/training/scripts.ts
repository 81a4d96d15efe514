/** The scripts of Unicode by their property values; Hiragana and Katakana count as Han, as in SentencePiece. */
const names = [
  "Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum Bassa_Vah Batak Bengali Bhaiksuki Bopomofo Brahmi Braille",
  "Buginese Buhid Canadian_Aboriginal Carian Caucasian_Albanian Chakma Cham Cherokee Chorasmian Common Coptic Cuneiform Cypriot Cyrillic",
  "Deseret Devanagari Dives_Akuru Dogra Duployan Egyptian_Hieroglyphs Elbasan Elymaic Ethiopic Georgian Glagolitic Gothic Grantha Greek",
  "Gujarati Gunjala_Gondi Gurmukhi Han Hangul Hanifi_Rohingya Hanunoo Hatran Hebrew Imperial_Aramaic Inscriptional_Pahlavi",
  "Inscriptional_Parthian Javanese Kaithi Kannada Kayah_Li Kharoshthi Khitan_Small_Script Khmer Khojki Khudawadi Lao Latin Lepcha Limbu",
  "Linear_A Linear_B Lisu Lycian Lydian Mahajani Makasar Malayalam Mandaic Manichaean Marchen Masaram_Gondi Medefaidrin Meetei_Mayek",
  "Mende_Kikakui Meroitic_Cursive Meroitic_Hieroglyphs Miao Modi Mongolian Mro Multani Myanmar Nabataean Nandinagari New_Tai_Lue Newa Nko",
  "Nushu Nyiakeng_Puachue_Hmong Ogham Ol_Chiki Old_Hungarian Old_Italic Old_North_Arabian Old_Permic Old_Persian Old_Sogdian",
  "Old_South_Arabian Old_Turkic Oriya Osage Osmanya Pahawh_Hmong Palmyrene Pau_Cin_Hau Phags_Pa Phoenician Psalter_Pahlavi Rejang Runic",
  "Samaritan Saurashtra Sharada Shavian Siddham SignWriting Sinhala Sogdian Sora_Sompeng Soyombo Sundanese Syloti_Nagri Syriac Tagalog",
  "Tagbanwa Tai_Le Tai_Tham Tai_Viet Takri Tamil Tangut Telugu Thaana Thai Tibetan Tifinagh Tirhuta Ugaritic Vai Wancho Warang_Citi Yezidi",
  "Yi Zanabazar_Square",
]
  .join(" ")
  .split(" ");

/** The script of characters that combine with any script. */
export const anyScript = -1;
const common = names.indexOf("Common");

/** The scripts of characters. A character that no script of the list has counts as Common. */
export class Scripts {
  readonly #known = new Map<string, number>();
  readonly #patterns = names.map((name) => new RegExp(`^\\p{Script=${name}}$`, "u"));

  of(character: string): number {
    const known = this.#known.get(character);
    if (known !== undefined) return known;
    const script = this.#find(character);
    this.#known.set(character, script);
    return script;
  }

  #find(character: string): number {
    if (/^\p{Script=Inherited}$/u.test(character)) return anyScript;
    if (/^[\p{Script=Hiragana}\p{Script=Katakana}\u30FC]$/u.test(character)) return names.indexOf("Han");
    const found = this.#patterns.findIndex((pattern) => pattern.test(character));
    return found < 0 ? common : found;
  }
}
