//! Data forms (XEP-0004) as far as servers need them: to say something in a disco
//! answer (XEP-0128), and to ask for a few fields and read what comes back.

use std::borrow::Cow;

use crate::xml::Element;

/// The namespace of forms.
pub const NS: &str = "jabber:x:data";

/// A form that tells something, with its `FORM_TYPE` (XEP-0068) and fields of any number
/// of values.
///
/// ```
/// use xmpp_core::im::form;
///
/// let form = form::result("urn:example:room", [("size", vec!["large"])]);
/// assert_eq!(form::form_type(&form).as_deref(), Some("urn:example:room"));
/// assert_eq!(form::value(&form, "size").as_deref(), Some("large"));
/// ```
pub fn result<'a>(
    form_type: &str,
    fields: impl IntoIterator<Item = (&'a str, Vec<&'a str>)>,
) -> Element {
    let fields = fields.into_iter().map(|(var, values)| field(var, values));
    form("result", form_type).with_children(fields)
}

/// A form of the given type (`form`, `submit`, `result`) and `FORM_TYPE`, without fields.
pub fn form(kind: &str, form_type: &str) -> Element {
    Element::new("x", NS)
        .with_attr("type", kind)
        .with_child(field("FORM_TYPE", [form_type]).with_attr("type", "hidden"))
}

/// A field with its values.
pub fn field<'a>(var: &str, values: impl IntoIterator<Item = &'a str>) -> Element {
    Element::new("field", NS)
        .with_attr("var", var)
        .with_children(
            values
                .into_iter()
                .map(|value| Element::new("value", NS).with_text(value)),
        )
}

/// The `FORM_TYPE` of a form: the value of its hidden field (XEP-0068 §3.1); in a submitted
/// form the field need not say that it is hidden.
pub fn form_type(form: &Element) -> Option<Cow<'_, str>> {
    let submitted = form.attr("type") == Some("submit");
    let (_, field) = fields(form).find(|(var, _)| *var == "FORM_TYPE")?;
    match field.attr("type") {
        Some("hidden") => values(field).next(),
        None if submitted => values(field).next(),
        _ => None,
    }
}

/// The first value of the field `var`.
pub fn value<'a>(form: &'a Element, var: &str) -> Option<Cow<'a, str>> {
    let (_, field) = fields(form).find(|(name, _)| *name == var)?;
    values(field).next()
}

/// The fields that have a name, and their names.
pub fn fields(form: &Element) -> impl Iterator<Item = (&str, &Element)> {
    form.children()
        .filter(|child| child.is("field", NS))
        .filter_map(|field| Some((field.attr("var")?, field)))
}

/// The values of a field.
pub fn values(field: &Element) -> impl Iterator<Item = Cow<'_, str>> {
    field
        .children()
        .filter(|child| child.is("value", NS))
        .map(Element::text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// XEP-0068 §3.1, XEP-0115 §5.4
    #[test]
    fn only_a_hidden_field_tells_the_type_of_a_form_unless_it_is_submitted() {
        for (kind, attrs, told) in [
            ("result", "type='hidden'", true),
            ("result", "", false),
            ("submit", "", true),
            ("submit", "type='text-single'", false),
        ] {
            let form = format!(
                "<x xmlns='jabber:x:data' type='{kind}'>\
                 <field var='FORM_TYPE' {attrs}><value>urn:x</value></field></x>"
            );
            let form = Element::parse(&form).unwrap();
            assert_eq!(form_type(&form).is_some(), told, "{kind} {attrs}");
        }
    }
}
