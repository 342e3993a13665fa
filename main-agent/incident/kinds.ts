import type { AuditEvent } from '#main-agent/state/audit-record.ts';

/**
 * What becomes of each kind of record in a report of what came through a node: a table over all there are, so that a new
 * one does not compile before somebody has thought of the day on which a node is not ours any more.
 */

/**
 * `sign-in`, `try`: of a person · `session`: the end of one · `change`: of an account, told with its present state by
 * help-desk/node-changes.ts · `file` · `other`: told as it is · `unknown`: says that something is not known · `inside`:
 * nothing that a session of a node could have made.
 */
type Listed = 'sign-in' | 'try' | 'session' | 'change' | 'file' | 'other' | 'unknown' | 'inside';

interface Kind {
  readonly listed: Listed;
  /** For people; of a file, what was done to it. */
  readonly what: string;
  /** How it is undone, or why it is not. */
  readonly undo: string;
}

const inside: Kind = { listed: 'inside', what: 'done inside', undo: 'nothing that came through a node' };
const unknown = (what: string): Kind => ({ listed: 'unknown', what, undo: 'there is nothing to undo' });
const tried = (what: string): Kind => ({ listed: 'try', what, undo: 'new passwords, see the steps' });
const change = (what: string, undo: string): Kind => ({ listed: 'change', what, undo });
const file = (what: string, undo: string): Kind => ({ listed: 'file', what, undo });
const other = (what: string, undo: string): Kind => ({ listed: 'other', what, undo });

const edge = 'the word of the node alone; nothing was changed inside';

const kinds: Readonly<Record<AuditEvent, Kind>> = {
  'login.admitted': { listed: 'sign-in', what: 'signed in', undo: 'the session ends with the revocation' },
  'login.refused': tried('was refused'),
  'login.code-refused': tried('showed a code that was refused'),
  'login.throttled': tried('was slowed down'),
  'login.overloaded': tried('found main too busy'),
  'account.step-up-refused': tried('was refused a change of the account'),
  'two-factor.proof-refused': tried('did not prove a second factor that was being set up'),
  'session.ended': { listed: 'session', what: 'session ended', undo: 'it is over' },

  'two-factor.enrolled': change('second factor set up', 'the factor is reset'),
  'account.recovery-codes': change('recovery codes renewed', 'the factor is reset'),
  'account.password': change('password changed', 'the password is removed'),
  'account.ssh-key-added': change('SSH key added', 'the key is removed'),
  'account.ssh-key-removed': change('SSH key removed', 'nobody has it any more: the user adds it again'),

  'file.download': file('read', 'what was read is known to whoever read it'),
  'file.upload': file('written', 'put aside; what it replaced comes back where it was kept'),
  'file.copy': file('copied', 'put aside; what it replaced comes back where it was kept'),
  'file.delete': file('deleted', 'comes back from the bin where it was kept'),
  'file.rename': file('renamed', 'gets its former name; what it replaced comes back where it was kept'),
  'file.mkdir': file('folder made', 'removed where nothing is in it'),
  'file.restore': file('put back from the bin', 'put aside'),
  'file.attributes': file('mode or times set', 'no record has what they were'),
  'file.purge': file('removed from the bin', 'gone for good'),
  'file.refused': file('tried and refused', 'nothing was done'),

  'account.enrolled': change('second factor set up', 'the factor is reset'),
  'account.password-link': other('a mailed password link was refused', 'nothing was done'),
  'account.password-rehashed': other('the hash of a password was renewed', 'the password is the same'),
  'account.not-written': other('a change of an account was not written', 'nothing was done'),
  'lease.ended': other('a lease was ended', 'the user signs in with a code again'),
  'device.ended': other('a remembered device was ended', 'the user signs in with a code again'),
  'device.revoked': other('a copied device cookie was shown', 'the device is forgotten already'),
  'link.protocol-violation': other('the node broke the rules of the link', 'its link was closed'),
  'link.other-main': other('the node knows another main', 'look at that one'),
  'audit.contradicted': other('the node contradicted the audit', 'compare it: sallyport audit verify'),
  'state.contradicted': other('the node contradicted the state', 'compare it: sallyport audit verify'),
  fault: other('a fault of ours', 'see main’s log'),
  'hostkeys.signed': other('main signed SSH connections for it', 'each signature was worth one connection'),
  'edge.banned': other('the node banned an address', edge),
  'edge.fault': other('the node had a fault', edge),
  'edge.forged': other('an event was not signed by the node', edge),
  'edge.limit': other('a limit of the node was reached', edge),
  'edge.listener': other('a door of the node opened or closed', edge),
  'edge.protocol-abuse': other('a client broke a protocol', edge),
  'edge.refused': other('the node refused a client', edge),

  'edge.gap': unknown('events of the node never came'),
  'audit.summed': unknown('records of the node were counted and not written'),
  'audit.retired': unknown('old audit files were removed, as retention says'),
  'audit.restored': unknown('the audit was put back from a copy'),
  'state.restored': unknown('the state was put back from a copy'),

  'account.password-revoked': inside,
  'account.ssh-key-revoked': inside,
  'admin.call': inside,
  'admin.refused': inside,
  'audit.restore-acknowledged': inside,
  'backup.made': inside,
  'ban.added': inside,
  'ban.removed': inside,
  'certificate.failed': inside,
  'certificate.issued': inside,
  'clock.confirmed': inside,
  'clock.suspect': inside,
  'incident.undone': inside,
  'mail.skipped': inside,
  'node.revoked': inside,
  'node.rotated': inside,
  'hostkeys.exported': inside,
  'hostkeys.imported': inside,
  'hostkeys.made': inside,
  'hostkeys.rotated': inside,
  'hostkeys.shared': inside,
  'node.unrevoked': inside,
  'notice.sent': inside,
  'retention.ran': inside,
  'state.restore-acknowledged': inside,
  'syslog.skipped': inside,
  'two-factor.adopted': inside,
  'two-factor.bypass-code': inside,
  'two-factor.imported': inside,
  'two-factor.kept': inside,
  'two-factor.orphan-back': inside,
  'two-factor.orphaned': inside,
  'two-factor.reminded': inside,
  'two-factor.reset': inside,
  'two-factor.returned': inside,
  'two-factor.unlocked': inside,
  'user.forgotten': inside,
  'user.renamed': inside,
  'webhook.skipped': inside,
};

/** An event of another version of main is told as it is. */
export function kindOf(event: string): Kind {
  return isKnown(event) ? kinds[event] : other(event, 'this version of main does not know it');
}

function isKnown(event: string): event is AuditEvent {
  return Object.hasOwn(kinds, event);
}
