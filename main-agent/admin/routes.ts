import type { Clock } from '#shared/clock.ts';
import type { AdminReason } from '#main-agent/administrator.ts';
import type { GroupDirectory } from '#main-agent/users/group-writes.ts';
import type { UserStorePlans } from '#main-agent/users/store-plan.ts';
import type { LeaseAdmin } from '#main-agent/sessions/leases.ts';
import type { NodeChangeAdmin } from '#main-agent/help-desk/node-changes.ts';
import type { TwoFactorAdmin } from '#main-agent/help-desk/two-factor-admin.ts';
import type { DeliveryTester } from '#main-agent/help-desk/delivery-test.ts';
import { buildAuditRoutes, type AuditPorts } from './audit-routes.ts';
import { buildBackupRoute } from './backup-route.ts';
import { buildBanRoutes, type BanPorts } from './ban-routes.ts';
import { buildBinRoutes, type BinPorts } from './bin-routes.ts';
import { buildCertificateRoutes, type CertificatePorts } from './certificate-routes.ts';
import { buildClockRoute } from './clock-route.ts';
import { buildDeliveryRoutes } from './delivery-routes.ts';
import { buildDoctorRoutes, type DoctorPorts } from './doctor-routes.ts';
import { buildGroupRoutes } from './group-routes.ts';
import { buildIncidentRoutes, type IncidentPorts } from './incident-routes.ts';
import { buildHostKeyRoutes, type HostKeyPorts } from './host-key-routes.ts';
import { buildLeaseRoutes } from './lease-routes.ts';
import { buildNodeChangeRoutes } from './node-change-routes.ts';
import { buildNodeRoutes, type NodePorts } from './node-routes.ts';
import { buildPlanRoutes } from './plan-routes.ts';
import type { Route } from './http/route.ts';
import { buildRetentionRoutes, type RetentionPorts } from './retention-routes.ts';
import { buildSessionRoutes } from './session-routes.ts';
import { buildSystemRoutes, type SystemPorts } from './system-routes.ts';
import { buildTokenRoutes, type TokenPorts } from './token-routes.ts';
import { buildTransferRoutes, type TransferPorts } from './transfer-routes.ts';
import { buildTwoFactorRoutes } from './two-factor-routes.ts';
import { buildUserImportRoutes } from './user-import-route.ts';
import { buildUserRoutes, type UserPorts } from './user-routes.ts';

export interface AdminPorts
  extends
    SystemPorts,
    UserPorts,
    TokenPorts,
    BanPorts,
    BinPorts,
    RetentionPorts,
    NodePorts,
    IncidentPorts,
    TransferPorts,
    DoctorPorts,
    CertificatePorts,
    HostKeyPorts,
    AuditPorts {
  // Both of these ask for less.
  readonly users: UserPorts['users'];
  readonly nodes: NodePorts['nodes'];
  readonly sessions: UserPorts['sessions'];
  readonly leases: LeaseAdmin;
  readonly twoFactor: TwoFactorAdmin;
  readonly nodeChanges: NodeChangeAdmin;
  readonly deliveryTester: DeliveryTester;
  readonly groups: GroupDirectory;
  readonly plans: UserStorePlans;
  readonly clock: Clock;
  readonly confirmClock: (why: AdminReason) => Promise<void>;
  /** Resolves with the path of a copy of state.db. */
  readonly copyState: () => Promise<string>;
}

/** The whole table. */
export function buildAdminRoutes(ports: AdminPorts): readonly Route[] {
  return [
    ...buildSystemRoutes(ports),
    ...buildAuditRoutes(ports),
    ...buildUserRoutes(ports),
    ...buildUserImportRoutes(ports),
    ...buildPlanRoutes(ports),
    ...buildGroupRoutes(ports),
    ...buildTwoFactorRoutes(ports),
    buildClockRoute(ports),
    ...buildCertificateRoutes(ports),
    ...buildHostKeyRoutes(ports),
    ...buildDeliveryRoutes(ports),
    ...buildSessionRoutes(ports),
    ...buildLeaseRoutes(ports),
    ...buildTransferRoutes(ports),
    ...buildBinRoutes(ports),
    ...buildRetentionRoutes(ports),
    ...buildBanRoutes(ports),
    ...buildNodeRoutes(ports),
    ...buildTokenRoutes(ports),
    ...buildDoctorRoutes(ports),
    ...buildNodeChangeRoutes(ports),
    ...buildIncidentRoutes(ports),
    buildBackupRoute(ports),
  ];
}
