import type { Guard } from '#dmz/guard/guard.ts';
import type { LoginService } from '#dmz/login/login-service.ts';
import { SallyportError } from '#shared/error.ts';
import { getAccount, getSetup, confirmSetup, proveSetup, startSetup } from './api/account.ts';
import { getBin, postEmpty, postRestore } from './api/bin.ts';
import { buildDownloadApi } from './api/downloads.ts';
import { buildGetFile, deleteEntry, postOperation, putFile } from './api/files.ts';
import { buildLoginApi } from './api/login.ts';
import { buildApiDocument } from './api/openapi.ts';
import {
  createUpload,
  deleteUpload,
  describeTus,
  getUpload,
  listUploads,
  patchUpload,
} from './api/uploads.ts';
import {
  deleteDevice,
  deleteLease,
  deleteSession,
  deleteSshKey,
  getDevices,
  getLeases,
  getSessions,
  getSshKeys,
  postPassword,
  postRecoveryCodes,
  postSshKey,
} from './api/self-service.ts';
import { ArchiveRoom } from './files/archive-room.ts';
import type { Route } from './exchange/route.ts';
import { securityTxtPath, sendSecurityTxt } from './security-txt.ts';

/** Every door of the HTTP API, and who may knock. What is not in this table does not exist. */
export function buildRoutes(services: {
  readonly login: LoginService;
  readonly guard: Guard;
  /** What `security.txt` says now; undefined: there is none. */
  readonly securityTxt?: () => string | undefined;
}): readonly Route[] {
  const login = buildLoginApi(services);
  const archives = new ArchiveRoom();
  const getFile = buildGetFile(archives);
  const downloads = buildDownloadApi(archives);
  return [
    {
      method: 'GET',
      pattern: securityTxtPath,
      access: 'public',
      handler: (exchange) => {
        const text = services.securityTxt?.();
        if (text === undefined) throw new SallyportError('not-found', 'There is no such page');
        return sendSecurityTxt(exchange, text);
      },
    },

    { method: 'GET', pattern: '/api/openapi.json', access: 'public', handler: buildApiDocument() },
    { method: 'POST', pattern: '/api/login', access: 'public', handler: login.postLogin },
    { method: 'GET', pattern: '/api/login/code', access: 'half', handler: login.getCode },
    { method: 'POST', pattern: '/api/login/code', access: 'half', handler: login.postCode },
    { method: 'POST', pattern: '/api/login/resend', access: 'half', handler: login.postResend },
    { method: 'POST', pattern: '/api/logout', access: 'half', handler: login.postLogout },

    { method: 'POST', pattern: '/api/password/set', access: 'public', handler: login.postLinkedPassword },

    { method: 'GET', pattern: '/api/me', access: 'setup', handler: getAccount },
    { method: 'GET', pattern: '/api/two-factor/setup', access: 'setup', handler: getSetup },
    { method: 'POST', pattern: '/api/two-factor/setup', access: 'setup', handler: startSetup },
    { method: 'POST', pattern: '/api/two-factor/setup/confirm', access: 'setup', handler: confirmSetup },
    { method: 'POST', pattern: '/api/two-factor/setup/prove', access: 'setup', handler: proveSetup },

    { method: 'POST', pattern: '/api/two-factor/recovery-codes', access: 'full', handler: postRecoveryCodes },
    { method: 'POST', pattern: '/api/me/password', access: 'full', handler: postPassword },
    { method: 'GET', pattern: '/api/me/ssh-keys', access: 'full', handler: getSshKeys },
    { method: 'POST', pattern: '/api/me/ssh-keys', access: 'full', handler: postSshKey },
    { method: 'DELETE', pattern: '/api/me/ssh-keys/*', access: 'full', handler: deleteSshKey },
    { method: 'GET', pattern: '/api/me/sessions', access: 'full', handler: getSessions },
    { method: 'DELETE', pattern: '/api/me/sessions/*', access: 'full', handler: deleteSession },
    { method: 'GET', pattern: '/api/me/leases', access: 'full', handler: getLeases },
    { method: 'DELETE', pattern: '/api/me/leases/*', access: 'full', handler: deleteLease },
    { method: 'GET', pattern: '/api/me/devices', access: 'full', handler: getDevices },
    { method: 'DELETE', pattern: '/api/me/devices/*', access: 'full', handler: deleteDevice },

    { method: 'GET', pattern: '/api/files', access: 'full', handler: getFile },
    { method: 'GET', pattern: '/api/files/*', access: 'full', handler: getFile },
    { method: 'PUT', pattern: '/api/files/*', access: 'full', handler: putFile },
    { method: 'DELETE', pattern: '/api/files/*', access: 'full', handler: deleteEntry },
    { method: 'POST', pattern: '/api/files/*', access: 'full', handler: postOperation },

    { method: 'GET', pattern: '/api/bin', access: 'full', handler: getBin },
    { method: 'POST', pattern: '/api/bin/restore', access: 'full', handler: postRestore },
    { method: 'POST', pattern: '/api/bin/empty', access: 'full', handler: postEmpty },

    { method: 'POST', pattern: '/api/downloads', access: 'full', handler: downloads.postDownload },
    { method: 'GET', pattern: '/api/downloads/*', access: 'full', handler: downloads.getDownload },

    { method: 'OPTIONS', pattern: '/api/uploads', access: 'full', handler: describeTus },
    { method: 'GET', pattern: '/api/uploads', access: 'full', handler: listUploads },
    { method: 'POST', pattern: '/api/uploads', access: 'full', handler: createUpload },
    { method: 'GET', pattern: '/api/uploads/*', access: 'full', handler: getUpload },
    { method: 'PATCH', pattern: '/api/uploads/*', access: 'full', handler: patchUpload },
    { method: 'DELETE', pattern: '/api/uploads/*', access: 'full', handler: deleteUpload },
  ];
}
