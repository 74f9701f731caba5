import type { NotificationNew } from "./events.js";

export interface DesktopOptions {
  /** For those that bring none. */
  icon?: string;
  /** Show them also while the page is in front. */
  always?: boolean;
  /** The user clicked on one; the page is in front by then. */
  onClick?: (notification: NotificationNew) => void;
}

export type DesktopPermission = NotificationPermission | "unsupported";

/** Desktop notifications, where the browser has them and the user wants them. */
export class Desktop {
  #options: DesktopOptions | undefined;

  /** Ask the user, who must have clicked something just now; a page that asks unbidden is refused for good. */
  async enable(options: DesktopOptions): Promise<DesktopPermission> {
    if (typeof Notification === "undefined") return "unsupported";
    const permission = await Notification.requestPermission();
    this.#options = permission === "granted" ? options : undefined;
    return permission;
  }

  disable(): void {
    this.#options = undefined;
  }

  show(notification: NotificationNew): void {
    const options = this.#options;
    if (!options || (!options.always && document.hasFocus())) return;
    const { notification_id, subject, message, icon = options.icon } = notification;
    const { title = subject, body = message, tag = notification_id } = notification;
    try {
      // The tag keeps several tabs from showing it several times.
      const shown = new Notification(title, { body, tag, ...(icon ? { icon } : {}) });
      shown.onclick = () => {
        window.focus();
        shown.close();
        options.onClick?.(notification);
      };
    } catch {
      // Browsers on phones have the class, and throw: there only a service worker may show one.
    }
  }
}
