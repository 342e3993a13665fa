import { describe, expect, it } from 'vitest';
import { ArchiveRoom, type ArchivePlace } from '#dmz/https/files/archive-room.ts';
import { archivedEntriesMax, archivedEntriesOfUserMax, archivesOfUserMax } from '#dmz/https/limits.ts';

function fill(place: ArchivePlace, entries: number): void {
  for (let index = 0; index < entries; index += 1) place.take(10);
}

describe('room for archives', () => {
  it(`S-09: is for ${archivesOfUserMax} archives of a user, and free again when one leaves`, () => {
    const room = new ArchiveRoom();
    const places = Array.from({ length: archivesOfUserMax }, () => room.enter('alice'));
    expect(() => room.enter('alice')).toThrow(/At most/);
    room.enter('bob');
    places[0]?.leave();
    room.enter('alice');
  });

  it(`is for ${archivedEntriesOfUserMax} entries of a user in all their archives`, () => {
    const room = new ArchiveRoom();
    const first = room.enter('alice');
    const second = room.enter('alice');
    fill(first, archivedEntriesOfUserMax - 1);
    second.take(10);
    expect(() => second.take(10)).toThrow(/other archives/);
    first.leave();
    fill(second, archivedEntriesOfUserMax - 1);
    expect(() => second.take(10)).toThrow(/other archives/);
  });

  it('counts a long name as several entries', () => {
    const place = new ArchiveRoom().enter('alice');
    fill(place, archivedEntriesOfUserMax - 16);
    expect(() => place.take(4096)).toThrow(/other archives/);
    place.take(4095);
    expect(() => place.take(1)).toThrow(/other archives/);
  });

  it(`S-09: is for ${archivedEntriesMax} entries of everybody`, () => {
    const room = new ArchiveRoom();
    const users = archivedEntriesMax / archivedEntriesOfUserMax;
    const places = Array.from({ length: users }, (_, index) => room.enter(`user${index}`));
    for (const place of places) fill(place, archivedEntriesOfUserMax);
    const late = room.enter('late');
    expect(() => late.take(10)).toThrow(/Too many archives/);
    places[0]?.leave();
    late.take(10);
  });
});
