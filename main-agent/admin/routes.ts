import type { Clock } from '#shared/clock.ts';
import { buildAuditRoutes, type AuditPorts } from './audit-routes.ts';
import { buildClockRoute } from './clock-route.ts';
import { buildDeliveryRoutes } from './delivery-routes.ts';
import { buildGroupRoutes } from './group-routes.ts';
import { buildPlanRoutes } from './plan-routes.ts';
import type {
  AdminReason,
  DeliveryTester,
  GroupDirectory,
  LeaseAdmin,
  TwoFactorAdmin,
  UserStorePlans,
} from './ports.ts';
import type { Route } from './route.ts';
import { buildSessionRoutes } from './session-routes.ts';
import { buildSystemRoutes, type SystemPorts } from './system-routes.ts';
import { buildTwoFactorRoutes } from './two-factor-routes.ts';
import { buildUserRoutes, type UserPorts } from './user-routes.ts';

export interface AdminPorts extends SystemPorts, UserPorts, AuditPorts {
  readonly leases: LeaseAdmin;
  readonly twoFactor: TwoFactorAdmin;
  readonly deliveryTester: DeliveryTester;
  readonly groups: GroupDirectory;
  readonly plans: UserStorePlans;
  readonly clock: Clock;
  readonly confirmClock: (why: AdminReason) => Promise<void>;
}

/** The whole table. */
export function buildAdminRoutes(ports: AdminPorts): readonly Route[] {
  return [
    ...buildSystemRoutes(ports),
    ...buildAuditRoutes(ports),
    ...buildUserRoutes(ports),
    ...buildPlanRoutes(ports),
    ...buildGroupRoutes(ports),
    ...buildTwoFactorRoutes(ports),
    buildClockRoute(ports),
    ...buildDeliveryRoutes(ports),
    ...buildSessionRoutes(ports),
  ];
}
