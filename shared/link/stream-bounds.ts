import type { Lane } from './lane.ts';
import { streamsPerLinkMax, streamsPerSessionMax } from './limits.ts';

/**
 * Would `more` streams of this session be too many, over all lanes of a link? The node asks before it opens one; main,
 * which trusts no node to have asked, when it sees one that its lane has counted already.
 */
export function areStreamsFull(lanes: Iterable<Lane>, session: string, more: 0 | 1): boolean {
  let streams = more;
  let ofSession = more;
  for (const lane of lanes) {
    streams += lane.streamCount;
    ofSession += lane.countOf(session);
  }
  return streams > streamsPerLinkMax || ofSession > streamsPerSessionMax;
}
