import { posixMode } from '#dmz/sftp/protocol/attributes.ts';
import type { Attributes } from '#shared/file-service/attributes.ts';

/**
 * The `ls -l` line that goes with each name (§7, "longname"): clients show it, and some parse it.
 * Times are UTC, because the server doesn't know where the client is.
 */
const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
/** As ls: older (or future) files show the year instead of the time of day. */
const recentMs = 182 * 86_400_000;

function permissionText(mode: number, type: Attributes['type']): string {
  const letters = 'rwxrwxrwx';
  const bits = Array.from(letters, (letter, index) => (mode & (0o400 >> index) ? letter : '-'));
  if (mode & 0o4000) bits[2] = bits[2] === 'x' ? 's' : 'S';
  if (mode & 0o2000) bits[5] = bits[5] === 'x' ? 's' : 'S';
  if (mode & 0o1000) bits[8] = bits[8] === 'x' ? 't' : 'T';
  return { file: '-', folder: 'd', link: 'l' }[type] + bits.join('');
}

export function longName(name: string, attributes: Attributes, owner: string, nowMs: number): string {
  const time = new Date(attributes.mtimeMs);
  const two = (value: number) => String(value).padStart(2, '0');
  const age = nowMs - attributes.mtimeMs;
  const when =
    age >= 0 && age < recentMs
      ? `${two(time.getUTCHours())}:${two(time.getUTCMinutes())}`
      : ` ${time.getUTCFullYear()}`;
  return [
    permissionText(posixMode(attributes), attributes.type),
    String(attributes.links).padStart(4),
    owner.padEnd(8),
    owner.padEnd(8),
    String(attributes.size).padStart(8),
    months[time.getUTCMonth()],
    String(time.getUTCDate()).padStart(2),
    when,
    name,
  ].join(' ');
}
