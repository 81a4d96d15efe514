/** The text of the frames below. */
const text = Array.from({ length: 40 }, (_, i) => `{"text":"line ${i + 1} of a text that is packed"}\n`).join("");

/** Frames of the command `zstd`: from a pipe with a checksum, from a file with its size and without checksum, with a dictionary. */
const piped = Buffer.from(
  "KLUv/QRY7QQAMsURGZBHHWvjojAqqjQVpNydpJW27RShyLrjoATo////t23bttu2bVtUSZDDQDdxuAYBTCJYQVmmJy0XpiVzBlZDgQrccrkwzxAoIIAzSg+3YB5NhikwD5PRFMyDyTAF5mEymIJ5mIymYB5Mhik0j0zGLqagm3nkZjJwM4XbzMM2k1GbKdBmHrOZ7CHUhiR0QywkQRdiQRJAd06OZaIKyH0=",
  "base64",
);
const sized = Buffer.from(
  "KLUv/WDXBeUEAPLEEBeAZTppgjlGFodtJWiGo5C/U14nbSqpE+r///+3bdu227ZtK/QwCmJQdxBAhTXJik5ql4vJu3ULdD32NAcRzIklAgIpIHCjlB63wDxMRlMwjybDFJqHyWgK5tFkmELzMBlNwTyaDFNoHpmMXUxBF/PIzWTgZgq3mYdtJqM2U6DNPGYz2UOoBUnogliQhC6IheSDLhclNFbfAQ==",
  "base64",
);
const withDictionary = Buffer.from(
  "KLUv/WcZJ9Eu1wXlAwCjwgVTyGp+4NltZav5gWf366v5gWdezQ88Cy38SdwAECQTVQEMqL1Yy8ysJAfkFGlRkPEll6nJwJ/Yi7RMZgU5oKdYiw4ZH3KJmgT+wF60ZTYrU46tpcgrZxZbuUggAOsvGVdkeMjMkMkgY5dMHSV3nAV4ISwLgexOaigIogrIfQ==",
  "base64",
);
/** A frame without data. pzstd writes such a frame before each frame. */
const skipped = Buffer.from("502a4d180400000001020304", "hex");

export const packedByZstd = { text, piped, sized, withDictionary, skipped };
