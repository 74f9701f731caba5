import { Component, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button, Notice } from "../ui";

/** What fails in one view leaves the rest of the console as it is. */
export class Guard extends Component<{ children: ReactNode }, { failed: boolean }> {
  override state = { failed: false };

  static getDerivedStateFromError() {
    return { failed: true };
  }

  override render() {
    if (!this.state.failed) return this.props.children;
    return <Failed again={() => this.setState({ failed: false })} />;
  }
}

function Failed({ again }: { again: () => void }) {
  const { t } = useTranslation();
  return (
    <Notice tone="bad" title={t("errors.broken")}>
      <Button small onClick={again}>
        {t("again")}
      </Button>
    </Notice>
  );
}
