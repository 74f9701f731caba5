import { Dices, FlaskConical } from "lucide-react";
import { useTranslation } from "react-i18next";

import { useSession } from "../../api/session";
import type { ViewProps } from "../../app/view";
import { OrganizationField } from "../../fields";
import { isUuid, newId } from "../../lib/ids";
import { useSubject } from "../../lib/subject";
import { IconButton, ViewHead } from "../../ui";
import { History } from "./History";
import { Mint } from "./Mint";
import { People } from "./People";
import { Publish } from "./Publish";
import styles from "./UseView.module.css";

/** What the command line and the HTTP API do, by hand. */
export default function UseView({ visible }: ViewProps) {
  const { t } = useTranslation("use");
  const { session } = useSession();
  const [{ organization }, change] = useSubject(session.demo);
  return (
    <div className={styles.view}>
      <ViewHead title={t("title")} lead={t("lead")}>
        <div className={styles.organization}>
          <OrganizationField
            value={organization}
            onChange={(organization) => change({ organization })}
            error={isUuid(organization) ? undefined : t("badOrganization")}
          />
          <span className={styles.besides}>
            <IconButton label={t("newOrganization")} onClick={() => change({ organization: newId() })}>
              <Dices size={18} aria-hidden />
            </IconButton>
            <IconButton label={t("demo")} onClick={() => change({ organization: session.demo.organization_id })}>
              <FlaskConical size={18} aria-hidden />
            </IconButton>
          </span>
        </div>
      </ViewHead>
      <div className={styles.columns}>
        <div className={styles.column}>
          <Publish />
          <Mint />
        </div>
        <div className={styles.column}>
          <History />
          <People visible={visible} />
        </div>
      </div>
    </div>
  );
}
