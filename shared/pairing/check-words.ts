import { createHash } from 'node:crypto';

/**
 * Six words that name a pairing line, for two people (or one at two consoles) to compare: 96 bits of its SHA-256 as
 * pronounceable words of five letters (the "proquint" of D. S. Wilkerson, 2009). A line that was exchanged on the
 * way would need 2^95 tries to show the same words.
 */

const consonants = 'bdfghjklmnprstvz';
const vowels = 'aiou';
const wordCount = 6;

export function checkWordsOf(line: string): string {
  const digest = createHash('sha256').update(line).digest();
  return Array.from({ length: wordCount }, (_, index) => toWord(digest.readUInt16BE(index * 2))).join(' ');
}

function toWord(bits: number): string {
  const consonant = (shift: number): string => consonants.charAt((bits >> shift) & 0xf);
  const vowel = (shift: number): string => vowels.charAt((bits >> shift) & 0x3);
  return consonant(12) + vowel(10) + consonant(6) + vowel(4) + consonant(0);
}
