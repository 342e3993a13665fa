import { groupDepthMax, groupsMax } from './limits.ts';

/** Groups of groups, laid flat: a group's own groups come before it, each group once, at its first place. */

export type GroupOrder =
  { readonly ok: true; readonly order: readonly string[] } | { readonly ok: false; readonly why: string };

/** `parentsOf` gives the groups that a group lists, or undefined for a group that does not exist. */
export function orderGroups(
  listed: readonly string[],
  parentsOf: (group: string) => readonly string[] | undefined,
): GroupOrder {
  const order = new Set<string>();
  const visit = (group: string, above: readonly string[]): string | undefined => {
    if (above.includes(group)) return `groups that contain each other: ${[...above, group].join(' → ')}`;
    if (order.has(group)) return undefined;
    if (above.length >= groupDepthMax) return `groups nested more than ${groupDepthMax} deep`;
    const parents = parentsOf(group);
    if (parents === undefined) return `unknown group \`${group}\``;
    for (const parent of parents) {
      const why = visit(parent, [...above, group]);
      if (why !== undefined) return why;
    }
    order.add(group);
    return order.size > groupsMax ? `more than ${groupsMax} groups` : undefined;
  };
  for (const group of listed) {
    const why = visit(group, []);
    if (why !== undefined) return { ok: false, why };
  }
  return { ok: true, order: [...order] };
}
