import type { TargetBuilder } from './target.ts';
import { buildProxyHeaders, buildSftpPackets } from './targets/bytes.ts';
import { buildHttpEdge } from './targets/https.ts';
import { buildControlToMain, buildControlToNode, buildLaneToMain, buildLaneToNode } from './targets/link.ts';
import { buildAcmeAnswers, buildSmsAnswers } from './targets/outside.ts';
import { buildAssertions, buildPairingLines, buildSshKeys } from './targets/signed.ts';
import { buildSshAuthentication, buildSshRecords, buildSshTransport } from './targets/ssh.ts';
import { buildArchives, buildHeaders, buildJsonBodies, buildPaths, buildUserFiles } from './targets/texts.ts';

import { buildVaultAnswers, buildVaultRequests } from './targets/vault.ts';

/** Every parser that strangers, nodes or servers outside reach, and the channel to the vault, which outlives a main that was broken into. */
export const targets: Readonly<Record<string, TargetBuilder>> = {
  'control-to-main': buildControlToMain,
  'control-to-node': buildControlToNode,
  'lane-to-main': buildLaneToMain,
  'lane-to-node': buildLaneToNode,
  assertion: buildAssertions,
  'ssh-transport': buildSshTransport,
  'ssh-authentication': buildSshAuthentication,
  'ssh-records': buildSshRecords,
  'ssh-keys': buildSshKeys,
  'sftp-packets': buildSftpPackets,
  'http-edge': buildHttpEdge,
  headers: buildHeaders,
  'json-bodies': buildJsonBodies,
  paths: buildPaths,
  'archive-names': buildArchives,
  'user-files': buildUserFiles,
  'proxy-header': buildProxyHeaders,
  'pairing-lines': buildPairingLines,
  'acme-answers': buildAcmeAnswers,
  'sms-answers': buildSmsAnswers,
  'vault-requests': buildVaultRequests,
  'vault-answers': buildVaultAnswers,
};
