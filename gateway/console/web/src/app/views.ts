import { FlaskConical, LayoutDashboard, type LucideIcon, Wrench } from "lucide-react";
import { type ComponentType, lazy, type LazyExoticComponent } from "react";

import type { ViewProps } from "./view";

export type ViewId = "try" | "watch" | "use";

interface View {
  id: ViewId;
  icon: LucideIcon;
  Body: LazyExoticComponent<ComponentType<ViewProps>>;
}

/** In the order of the tabs; the address is `#/<id>`. */
export const VIEWS: readonly View[] = [
  { id: "try", icon: FlaskConical, Body: lazy(() => import("../views/try/TryView")) },
  { id: "watch", icon: LayoutDashboard, Body: lazy(() => import("../views/watch/WatchView")) },
  { id: "use", icon: Wrench, Body: lazy(() => import("../views/use/UseView")) },
];

export function viewOf(hash: string): ViewId | undefined {
  return VIEWS.find((view) => hash === `#/${view.id}`)?.id;
}
