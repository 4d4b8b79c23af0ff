import { Form, Input } from "antd";
import { useTranslation } from "react-i18next";

const MIN_LENGTH = 12; // characters; the gateway's limit

interface Props {
  // Name and label of the field; the second field repeats it.
  name: string;
  label: string;
}

// A new password, typed twice. Belongs into a form.
export function NewPasswordFields({ name, label }: Props) {
  const { t } = useTranslation();
  return (
    <>
      <Form.Item
        name={name}
        label={label}
        extra={t("password.hint", { n: MIN_LENGTH })}
        validateTrigger="onBlur"
        rules={[
          { required: true, min: MIN_LENGTH, message: t("password.short", { n: MIN_LENGTH }) },
        ]}
      >
        <Input.Password autoComplete="new-password" maxLength={1024} />
      </Form.Item>
      <Form.Item
        name="repeat"
        label={t("password.repeat")}
        dependencies={[name]}
        validateTrigger="onBlur"
        rules={[
          { required: true, message: t("password.repeatMissing") },
          ({ getFieldValue }) => ({
            validator: (_rule, value?: string) =>
              !value || value === getFieldValue(name)
                ? Promise.resolve()
                : Promise.reject(new Error(t("password.differs"))),
          }),
        ]}
      >
        <Input.Password autoComplete="new-password" maxLength={1024} />
      </Form.Item>
    </>
  );
}
